"""python3 run_qt.py FOLDER...: the walks in each folder's tours.json, taken by Qt in its SCXML document; a line a folder.

Run by Debian's own Python.
"""

import json
import os
import sys
from pathlib import Path

os.environ["QT_QPA_PLATFORM"] = "offscreen"

from PySide2.QtCore import QCoreApplication
from PySide2.QtScxml import QScxmlStateMachine

app = QCoreApplication([])


def walked(folder):
    corpus = json.loads((folder / "tours.json").read_text())
    steps = bad = 0
    for tour in corpus["tours"]:
        machine = QScxmlStateMachine.fromFile(str(folder / "chart.scxml"))
        if machine.parseErrors():
            sys.exit(str([error.toString() for error in machine.parseErrors()]))
        machine.start()
        app.processEvents()
        model, before = machine.dataModel(), 0
        for event, data, accepted, after, word in tour:
            machine.submitEvent(event, data)
            app.processEvents()
            steps += 1
            held = [model.scxmlProperty(name) for name in corpus["names"]]
            found = [machine.activeStateNames()[0], *(value if isinstance(value, str) else int(value) for value in held)]
            count = int(model.scxmlProperty(corpus["accepted"]))
            got = [count - before == 1, found, int(model.scxmlProperty(corpus["flags"]))]
            before = count
            if got != [accepted, after, word]:
                bad += 1
                if bad < 5:
                    print(folder, event, data, got, [accepted, after, word])
        machine.deleteLater()
        app.processEvents()
    print(f"{steps} steps, {bad} differ")


for word in sys.argv[1:]:
    walked(Path(word))
sys.stdout.flush()
os._exit(0)
