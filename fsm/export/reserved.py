"""The words that no name of a chart may become, by language: keywords, and what the generated files call things."""

from __future__ import annotations

import builtins
from keyword import kwlist, softkwlist
from typing import Final

__all__ = ["C_LIBRARY", "JAVASCRIPT", "JAVASCRIPT_MODULE", "PROMELA", "PYTHON", "SMTLIB", "XML", "XSTATE", "C"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())

C: Final = _words("""
alignas alignof and and_eq asm auto bitand bitor bool break case catch char class compl const const_cast constexpr
continue decltype default delete do double dynamic_cast else enum explicit export extern false float for friend
goto if inline int long main mutable namespace new noexcept not not_eq nullptr operator or or_eq private protected
public register reinterpret_cast restrict return short signed sizeof static static_assert static_cast struct switch
template this thread_local throw true try typedef typeid typename union unsigned using virtual void volatile
wchar_t while xor xor_eq NULL errno i386 linux unix uint16_t uint32_t uint64_t uint8_t s data event state entries
complex imaginary
BUFSIZ CHAR_BIT CHAR_MAX CHAR_MIN CLOCKS_PER_SEC DBL_MAX DBL_MIN EDOM EOF ERANGE EXIT_FAILURE EXIT_SUCCESS FILE
FLT_MAX FLT_MIN HUGE_VAL I INFINITY INT8_MAX INT16_MAX INT32_MAX INT64_MAX INT_MAX INT_MIN LLONG_MAX LONG_MAX LONG_MIN
MAX MIN NAN NDEBUG RAND_MAX SCHAR_MAX SEEK_CUR SEEK_END SEEK_SET SHRT_MAX SIGABRT SIGFPE SIGILL SIGINT SIGSEGV SIGTERM
SIZE_MAX UCHAR_MAX UINT8_MAX UINT16_MAX UINT32_MAX UINT64_MAX UINT_MAX ULLONG_MAX ULONG_MAX USHRT_MAX
""")  # the latter are macros of the headers that most programs include
C_LIBRARY: Final = _words("""
abort abs accept access alarm asctime assert atan atexit atof atoi atol bind bsearch calloc ceil clearerr clock close
connect cos ctime daemon difftime div dup erf exec exit exp fabs fclose feof ferror fflush fgetc fgets floor
fmod fopen fork fprintf fputc fputs fread free freopen frexp fscanf fseek ftell fwrite gamma getc getchar getenv gets
gmtime hypot index int16_t int32_t int64_t int8_t intmax_t intptr_t isalnum isalpha isatty isdigit isfinite
isinf isnan isnormal isspace kill labs ldiv link listen localtime log longjmp lseek malloc memcmp memcpy memmove memset
mktime modf nan nice offsetof open pause perror pipe poll pow printf ptrdiff_t putc putchar puts qsort raise rand read
realloc recv remainder remove rename rewind rindex rmdir round scanf select send setbuf setjmp setlocale shutdown
sig_atomic_t signal signals signbit sin size_t sleep socket sprintf sqrt srand sscanf stat stderr stdin stdout strcat
strchr strcmp strcpy strlen sync system tan time time_t tmpfile tolower toupper trunc truncate uintmax_t uintptr_t
ungetc unlink usleep va_arg va_end va_list va_start vprintf wait wchar_t wint_t write y0 y1 yn j0 j1 jn
""")
"""The functions and types of these headers, which are no names for a type."""

PYTHON: Final = frozenset((
    *kwlist, *softkwlist, *dir(builtins), *dir(object), "self", "state", "fire", "flags", "sound", "delays", "entries",
    "data", "event", "kind", "needs", "Refused", "STATES", "EVENTS",
))  # fmt: skip

JAVASCRIPT: Final = _words("""
abstract any arguments as async await boolean break case catch class const constructor continue debugger declare
default delete do else enum eval export extends false finally for from function get hasOwnProperty if implements
import in instanceof interface isPrototypeOf let module namespace never new null number object of package private
propertyIsEnumerable protected prototype public readonly return set static string super switch symbol then this
throw toJSON toLocaleString toString true try type typeof undefined unknown valueOf var void while with yield
Infinity JSON Map Math NaN Number Object RangeError String
""")
JAVASCRIPT_MODULE: Final = JAVASCRIPT | _words("""
Answer EVENTS Event LIMIT METHODS Output STATES State data delays entries event fire flags sound state
""")

XML: Final = (
    JAVASCRIPT
    | {*kwlist}
    | _words("""
In _event _ioprocessors _name _sessionid _x done error event event_data init machine model source state target
transition activate_initial_state active_listeners add_listener allow_event_without_transition allowed_events
atomic_configuration_update bind_events_to cancel_event catch_errors_as_events configuration configuration_values
current_state current_state_value enable_self_transition_entries enabled_events events id is_terminated name prepare
raise_ send start_configuration_values states states_map
""")  # the latter are attributes of python-statemachine's machines
)

PROMELA: Final = _words("""
active assert atomic bit bool break byte chan c_code c_decl c_expr c_state c_track d_proctype D_proctype d_step do
else empty enabled end eval false fi for full goto hidden if in init inline int len local ltl mtype nempty never
nfull notrace np_ od of pc_value pid printf printm priority proctype progress provided return run select short show
skip STDIN timeout trace true typedef unless unsigned xr xs accept always eventually until weakuntil stronguntil
release implies equivalent next U V W X and or not define include undef ifdef ifndef endif line state everyone
""")

SMTLIB: Final = _words("""
and or not xor distinct ite let forall exists par assert true false state select store abs div mod
""")

XSTATE: Final = JAVASCRIPT | _words("type context event c e state")
