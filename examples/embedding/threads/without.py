"""The same with the pool's own queue."""

import sys
from concurrent.futures import ThreadPoolExecutor

from remote import send

with ThreadPoolExecutor(2) as pool:
    for line in sys.stdin:
        pool.submit(send, line.strip().encode())
        print("ok", flush=True)
