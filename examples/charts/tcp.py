"""The connection of TCP as RFC 9293 has it (section 3.3.2 and 3.10), with its time-outs.

A machine without an end: a connection that is closed may be opened again.  `fsm paths` lists the ways around.
"""

from fsm import Boolean, Chart, State, row

PASSIVE = Boolean("passive", "the connection began in LISTEN (3.10.7.4)")
MSL = 120
"""The maximum segment lifetime, in seconds: two minutes (3.4.2)."""
SYNCHRONIZED = ("established", "fin_wait_1", "fin_wait_2", "close_wait", "closing", "last_ack")

TCP = Chart(
    "tcp",
    doc="a connection of RFC 9293",
    states=[
        State("closed", "there is no connection"),
        State("listen", "waits for a request from any remote TCP", invariant=PASSIVE),
        State("syn_sent", "waits for the answer to its request", invariant=~PASSIVE, after={180: "connect_timeout"}),
        State("syn_received", "has received and sent a request", after={180: "connect_timeout"}),
        State("established", "data go both ways"),
        State("fin_wait_1", "has sent FIN, waits for its acknowledgment or a FIN", after={300: "user_timeout"}),
        State("fin_wait_2", "its FIN is acknowledged, waits for the other's"),
        State("close_wait", "the other has sent FIN, waits for the local user to close"),
        State("closing", "both have sent FIN at once, waits for the acknowledgment", after={300: "user_timeout"}),
        State("last_ack", "has answered FIN with FIN, waits for the acknowledgment", after={300: "user_timeout"}),
        State("time_wait", "waits until no old segment can arrive any more", after={2 * MSL: "two_msl"}),
    ],
    events=[
        "passive_open", "active_open", "close", "abort", "syn", "syn_ack", "ack", "fin", "fin_ack", "rst",
        "connect_timeout", "user_timeout", "two_msl",
    ],
    variables=[PASSIVE],
    rows=[
        row("listen", "closed", "passive_open", effects=[PASSIVE.becomes(True)], target="listen"),
        row("connect", ("closed", "listen"), "active_open", effects=[PASSIVE.becomes(False)], target="syn_sent"),
        row("unlisten", "listen", "close", target="closed"),
        row("accept", "listen", "syn", target="syn_received", why="send SYN,ACK"),
        row("connected", "syn_sent", "syn_ack", target="established", why="send ACK"),
        row("both", "syn_sent", "syn", target="syn_received", why="both sides open at once: send SYN,ACK"),
        row("accepted", "syn_received", "ack", target="established"),
        row("give-up", "syn_sent", "close", target="closed"),
        row("refused", "syn_sent", "rst", target="closed", why="connection refused"),
        row("reset-active", "syn_received", "rst", unless=PASSIVE, target="closed", why="connection refused"),
        row("reset-passive", "syn_received", "rst", guard=PASSIVE, target="listen", why="an old SYN: listen on"),
        row("no-answer", ("syn_sent", "syn_received"), "connect_timeout", target="closed", why="3.8.3: R2 for a SYN"),
        row("finish", ("syn_received", "established"), "close", target="fin_wait_1", why="send FIN"),
        row("other-ends", ("syn_received", "established"), "fin", target="close_wait", why="send ACK"),
        row("finish-too", "close_wait", "close", target="last_ack", why="send FIN"),
        row("half", "fin_wait_1", "ack", target="fin_wait_2"),
        row("crossed", "fin_wait_1", "fin", target="closing", why="send ACK"),
        row("at-once", "fin_wait_1", "fin_ack", target="time_wait", why="FIN with the acknowledgment of ours"),
        row("full", "fin_wait_2", "fin", target="time_wait", why="send ACK"),
        row("settled", "closing", "ack", target="time_wait"),
        row("again", "time_wait", "fin", reenter=True, why="acknowledge it again, and restart the 2 MSL time-out"),
        row("over", "time_wait", "two_msl", target="closed"),
        row("last", "last_ack", "ack", target="closed"),
        row("silence", ("fin_wait_1", "closing", "last_ack"), "user_timeout", target="closed", why="3.9.1"),
        row("reset", (*SYNCHRONIZED, "time_wait"), "rst", target="closed", why="connection reset"),
        row("abort", (*SYNCHRONIZED, "listen", "syn_sent", "syn_received", "time_wait"), "abort", target="closed"),
    ],
)
