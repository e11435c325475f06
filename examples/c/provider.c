/* A message store provider in C: it takes mail in, sends it, and logs off without losing any.

   The machine is the header that fsm writes:

       fsm export --format c -o store_logoff.h
       cc -std=c99 -Wall -Wextra -Werror -pedantic -o provider provider.c && ./provider

   A provider keeps one `store_logoff` beside its own data, reports what its transports do, and calls
   StoreLogoffTransports where MAPI's would: from its own StoreLogoff, and from its Release when nobody has. */
#include "store_logoff.h"
#include <stdio.h>

typedef struct {
  store_logoff session;
  int logged_off; /* whether StoreLogoffTransports was called: Release must know */
} provider;

static void show(const provider *p, const char *what) {
  uint32_t flags = store_logoff_flags(&p->session);
  printf("%-36s %-8s in %u out %u ready %u%s%s%s%s\n", what, store_logoff_state_name(p->session.state),
         p->session.inbound, p->session.outbound, p->session.ready, flags & LOGOFF_COMPLETE ? " COMPLETE" : "",
         flags & LOGOFF_INBOUND ? " INBOUND" : "", flags & LOGOFF_OUTBOUND ? " OUTBOUND" : "",
         flags & LOGOFF_OUTBOUND_QUEUE ? " OUTBOUND_QUEUE" : "");
}

/* A transport reports an event.  What is refused has changed nothing, and the transport is told so. */
static int report(provider *p, int event) {
  int answer = store_logoff_fire(&p->session, event);
  char line[64];
  snprintf(line, sizeof line, "%s%s", store_logoff_event_name(event), answer == STORE_LOGOFF_ACCEPTED ? "" : ": refused");
  show(p, line);
  return answer == STORE_LOGOFF_ACCEPTED;
}

static HRESULT store_logoff_call(provider *p, ULONG *flags) {
  HRESULT result = StoreLogoffTransports(&p->session, flags);
  p->logged_off = p->logged_off || result == S_OK;
  return result;
}

/* The last reference goes: without a logoff it asks for ABORT, which waits for what is in flight. */
static void provider_release(provider *p) {
  ULONG flags = LOGOFF_ABORT;
  if (!p->logged_off) store_logoff_call(p, &flags);
  show(p, "Release");
}

int main(void) {
  provider p;
  ULONG flags = LOGOFF_NO_WAIT;
  store_logoff_start(&p.session);
  p.logged_off = 0;
  report(&p, STORE_LOGOFF_EVENT_INBOUND_BEGIN);
  report(&p, STORE_LOGOFF_EVENT_SUBMIT);
  report(&p, STORE_LOGOFF_EVENT_SUBMIT);
  report(&p, STORE_LOGOFF_EVENT_OUTBOUND_BEGIN);

  printf("-- the client logs off: NO_WAIT\n");
  if (store_logoff_call(&p, &flags) != S_OK) return 1;
  show(&p, "StoreLogoffTransports");
  report(&p, STORE_LOGOFF_EVENT_SUBMIT); /* nothing new is taken in */
  report(&p, STORE_LOGOFF_EVENT_INBOUND_RECEIVED);
  while (p.session.state == STORE_LOGOFF_STATE_DRAINING) {
    if (p.session.ready) report(&p, STORE_LOGOFF_EVENT_OUTBOUND_BEGIN);
    report(&p, STORE_LOGOFF_EVENT_OUTBOUND_SENT);
  }
  flags = LOGOFF_QUIET;
  printf("-- a released store answers only Release: 0x%08X\n", (unsigned)store_logoff_call(&p, &flags));
  provider_release(&p);
  return p.session.state != STORE_LOGOFF_STATE_RELEASED;
}
