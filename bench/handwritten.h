/* The store-logoff machine as a careful person writes it in C, as in handwritten.py: the header is measured against it. */
#ifndef HANDWRITTEN_H
#define HANDWRITTEN_H
#include <stdint.h>

enum { OPEN, DRAINING, BLOCKED, RELEASED };
enum { NONE, NO_WAIT, ORDERLY, PURGE, ABORT, QUIET };
typedef struct {
  uint8_t state, request;
  uint32_t inbound, outbound, ready, deferred, peers;
} by_hand;

static inline int hand_takes_work(const by_hand *s) { return s->state == OPEN || s->state == BLOCKED; }
static inline int hand_busy(const by_hand *s) { return s->inbound || s->outbound; }

/* A message has ended: a drain, a waiting ABORT or a refused QUIET may be over. */
static inline int hand_ended(by_hand *s) {
  if (s->state == DRAINING) {
    if (!hand_busy(s) && (s->request == ORDERLY || s->request == ABORT || !s->ready)) s->state = RELEASED;
  } else if (s->state == BLOCKED) {
    if (s->request == ABORT) {
      if (!hand_busy(s)) s->state = RELEASED;
    } else if (!hand_busy(s) && !s->ready && !s->deferred) {
      s->state = OPEN;
      s->request = NONE;
    }
  }
  return 1;
}

/* With peers the call is ignored by the spooler: the work is theirs. */
static inline int hand_left_to_peers(by_hand *s, uint8_t flag) {
  if (!s->peers) return 0;
  s->inbound = s->outbound = s->ready = s->deferred = 0;
  s->request = flag;
  s->state = RELEASED;
  return 1;
}

static inline int hand_logoff(by_hand *s, uint8_t flag) {
  if (s->state == RELEASED) return 0;
  if (hand_left_to_peers(s, flag)) return 1;
  if (flag == QUIET) {
    if (s->state == DRAINING) return 1;
    s->request = QUIET;
    s->state = hand_busy(s) || s->ready || s->deferred ? BLOCKED : RELEASED;
    return 1;
  }
  if (flag == PURGE) {
    if (s->deferred > UINT32_MAX - s->ready) return 0;
    s->ready += s->deferred;
    s->deferred = 0;
  }
  s->request = flag;
  if (flag == ABORT) {
    if (!hand_busy(s)) s->state = RELEASED;
    else if (s->state != DRAINING) s->state = BLOCKED;
  } else {
    s->state = hand_busy(s) || (flag != ORDERLY && s->ready) ? DRAINING : RELEASED;
  }
  return 1;
}

static inline int hand_release(by_hand *s) {
  if (s->state == RELEASED) return 1;
  if (hand_left_to_peers(s, s->state == DRAINING ? s->request : ABORT) || s->state == DRAINING) return 1;
  s->request = ABORT;
  s->state = hand_busy(s) ? BLOCKED : RELEASED;
  return 1;
}

static inline int hand_take(by_hand *s, uint32_t *count) {
  if (s->state == RELEASED || !*count) return 0;
  --*count;
  return 1;
}

/* The events in the order of the table. */
static inline int hand_fire(by_hand *s, int event) {
  switch (event) {
  case 0: return hand_logoff(s, QUIET);
  case 1: return hand_logoff(s, ABORT);
  case 2: return hand_logoff(s, ORDERLY);
  case 3: return hand_logoff(s, NO_WAIT);
  case 4: return hand_logoff(s, PURGE);
  case 5: return hand_release(s);
  case 6: if (!hand_takes_work(s) || s->ready == UINT32_MAX) return 0; s->ready++; return 1;
  case 7: return hand_take(s, &s->ready) && hand_ended(s);
  case 8: return hand_take(s, &s->deferred) && hand_ended(s);
  case 9: if (!hand_takes_work(s) || !s->deferred || s->ready == UINT32_MAX) return 0; s->deferred--; s->ready++; return 1;
  case 10:
    if (!hand_takes_work(s) && !(s->state == DRAINING && (s->request == NO_WAIT || s->request == PURGE))) return 0;
    if (!s->ready || s->outbound == UINT32_MAX) return 0;
    s->ready--;
    s->outbound++;
    return 1;
  case 11: return hand_take(s, &s->outbound) && hand_ended(s);
  case 12: return hand_take(s, &s->outbound) && hand_ended(s);
  case 13: if (s->deferred == UINT32_MAX || !hand_take(s, &s->outbound)) return 0; s->deferred++; return hand_ended(s);
  case 14: if (!hand_takes_work(s) || s->inbound == UINT32_MAX) return 0; s->inbound++; return 1;
  case 15: return hand_take(s, &s->inbound) && hand_ended(s);
  case 16: return hand_take(s, &s->inbound) && hand_ended(s);
  case 17: if (s->state == RELEASED || s->peers == UINT32_MAX) return 0; s->peers++; return 1;
  case 18: return hand_take(s, &s->peers);
  default: return 0;
  }
}
#endif
