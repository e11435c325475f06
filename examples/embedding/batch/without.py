"""The same without fsm; the next run begins at the beginning."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from remote import send

with ThreadPoolExecutor(2) as pool:
    for line in Path(sys.argv[1]).read_text().splitlines():
        pool.submit(send, line.encode())
