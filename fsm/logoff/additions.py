"""What an export of the store logoff has besides the table: in C the call of MAPI, in Promela what comes in time.

`fsm export` finds it beside the chart (`ADDITIONS`, by format).
Source: IMAPISupport::StoreLogoffTransports, as described by `spec.md`, section 3.
"""

from __future__ import annotations

from typing import Final

from fsm.logoff.flags import ALL_INPUT, Logoff, LogoffStatus, Result

__all__ = ["ADDITIONS"]


FLAGS: Final = {f"LOGOFF_{flag.name}": flag.value for flag in (*Logoff, *LogoffStatus)}
CODES: Final = {result.name: int(result) for result in Result} | {"MAPI_E_NOT_ENOUGH_MEMORY": 0x8007000E}


def _defined(name: str, value: str) -> str:
    return f"#ifndef {name}\n#define {name} {value}\n#endif"


TYPES: Final = """\
/* The call of MAPI: one input flag in, the output flags out.  As in MAPI's own C, the object comes first. */
#ifndef _WIN32
typedef int32_t HRESULT;
typedef uint32_t ULONG;
#endif
"""
CALL: Final = """
/* A wrong call changes nothing, *lpulFlags included.  MAPI_E_NOT_ENOUGH_MEMORY: a count would pass 2**32 - 1. */
static inline HRESULT StoreLogoffTransports(store_logoff *session, ULONG *lpulFlags) {
  int event;
  if (!session || !lpulFlags) return MAPI_E_INVALID_PARAMETER;
  if (session->state == STORE_LOGOFF_STATE_RELEASED) return MAPI_E_INVALID_OBJECT;
  if (*lpulFlags & ~%su) return MAPI_E_UNKNOWN_FLAGS;
  switch (*lpulFlags) {
%s
  default: return MAPI_E_INVALID_PARAMETER; /* no flag, or several */
  }
  if (store_logoff_fire(session, event) != STORE_LOGOFF_ACCEPTED) return MAPI_E_NOT_ENOUGH_MEMORY;
  *lpulFlags = store_logoff_flags(session);
  return S_OK;
}
"""
CASES: Final = (f"  case LOGOFF_{flag.name}: event = STORE_LOGOFF_EVENT_LOGOFF_{flag.name}; break;" for flag in Logoff)

ADDITIONS: Final = {
    "c": "\n".join((
        TYPES,
        *(_defined(name, f"0x{value:X}u") for name, value in FLAGS.items()),
        *(_defined(name, f"((HRESULT)0x{value:08X}u)") for name, value in CODES.items()),
        CALL % (f"0x{ALL_INPUT:X}", "\n".join(CASES)),
    )),
    "promela": """\
/* A drain never goes back, and ends (with -f), unless PURGE flushes again and again. */
ltl no_way_back { [] (state == draining -> [] (state == draining || state == released)) }
#define purging (request == request_PURGE)
#define waiting (state == blocked && request == request_ABORT)
ltl drains_end { [] ((state == draining && !purging) -> <> (state == released || purging)) }
ltl aborts_end { [] (waiting -> <> !waiting) }
""",
}
"""Source in the language of a format, to put at the end of the file."""
