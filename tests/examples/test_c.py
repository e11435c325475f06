"""The store provider in C: built with the header that is exported now, and run."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsm.cli import main
from tests.export.test_c import COMPILERS
from tests.export.tools import done

SOURCE = Path(__file__).parents[2] / "examples" / "c" / "provider.c"
PRINTED = """\
inbound_begin                        open     in 1 out 0 ready 0 INBOUND
submit                               open     in 1 out 0 ready 1 INBOUND OUTBOUND_QUEUE
submit                               open     in 1 out 0 ready 2 INBOUND OUTBOUND_QUEUE
outbound_begin                       open     in 1 out 1 ready 1 INBOUND OUTBOUND OUTBOUND_QUEUE
-- the client logs off: NO_WAIT
StoreLogoffTransports                draining in 1 out 1 ready 1 INBOUND OUTBOUND OUTBOUND_QUEUE
submit: refused                      draining in 1 out 1 ready 1 INBOUND OUTBOUND OUTBOUND_QUEUE
inbound_received                     draining in 0 out 1 ready 1 OUTBOUND OUTBOUND_QUEUE
outbound_begin                       draining in 0 out 2 ready 0 OUTBOUND
outbound_sent                        draining in 0 out 1 ready 0 OUTBOUND
outbound_sent                        released in 0 out 0 ready 0 COMPLETE
-- a released store answers only Release: 0x80040108
Release                              released in 0 out 0 ready 0 COMPLETE
"""


@pytest.mark.parametrize("compiler", ["gcc", "g++"])
def test_the_provider_takes_mail_in_drains_and_logs_off(compiler: str, tmp_path: Path) -> None:
    assert main(["export", "--format", "c", "-o", str(tmp_path / "store_logoff.h")]) == 0
    tmp_path.joinpath("provider.c").write_text(SOURCE.read_text())
    strict = ("-Wall", "-Wextra", "-Werror", "-pedantic")
    done(*COMPILERS[compiler], *strict, "-o", "provider", "provider.c", folder=tmp_path)
    assert done(tmp_path / "provider") == PRINTED
