"""Questions about a whole chart: its configuration graph, its paths, what holds in it, and walks that take every row.

    from fsm.analysis.reachability import Graph      # every configuration within bounds, and the edges between them
    from fsm.analysis.paths import Atlas             # every elementary path, with a witness or the reason for none
    from fsm.analysis.report import check            # what is true of a chart, one finding for each property
    from fsm.analysis.coverage import cover          # walks that take every row; needs networkx (extra `paths`)
"""
