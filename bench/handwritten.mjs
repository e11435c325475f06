// The store-logoff machine as a careful person writes it in JavaScript, as in handwritten.py: the module is measured against it.
export class HandWritten {
  state = "open";
  request = null;
  inbound = 0;
  outbound = 0;
  ready = 0;
  deferred = 0;
  peers = 0;

  get #takesWork() { return this.state === "open" || this.state === "blocked"; }
  get #busy() { return this.inbound > 0 || this.outbound > 0; }

  #ended() {
    if (this.state === "draining") {
      if (!this.#busy && (this.request === "ORDERLY" || this.request === "ABORT" || !this.ready)) this.state = "released";
    } else if (this.state === "blocked") {
      if (this.request === "ABORT") {
        if (!this.#busy) this.state = "released";
      } else if (!this.#busy && !this.ready && !this.deferred) {
        this.state = "open";
        this.request = null;
      }
    }
    return "accepted";
  }

  #leftToPeers(flag) {
    if (!this.peers) return false;
    this.inbound = this.outbound = this.ready = this.deferred = 0;
    this.request = flag;
    this.state = "released";
    return true;
  }

  #logoff(flag) {
    if (this.state === "released") return "finished";
    if (this.#leftToPeers(flag)) return "accepted";
    if (flag === "QUIET") {
      if (this.state === "draining") return "accepted";
      this.request = flag;
      this.state = this.#busy || this.ready || this.deferred ? "blocked" : "released";
      return "accepted";
    }
    if (flag === "PURGE") {
      this.ready += this.deferred;
      this.deferred = 0;
    }
    this.request = flag;
    if (flag !== "ABORT") this.state = this.#busy || (flag !== "ORDERLY" && this.ready) ? "draining" : "released";
    else if (!this.#busy) this.state = "released";
    else if (this.state !== "draining") this.state = "blocked";
    return "accepted";
  }

  logoff_quiet() { return this.#logoff("QUIET"); }
  logoff_abort() { return this.#logoff("ABORT"); }
  logoff_orderly() { return this.#logoff("ORDERLY"); }
  logoff_no_wait() { return this.#logoff("NO_WAIT"); }
  logoff_purge() { return this.#logoff("PURGE"); }

  release() {
    if (this.state === "released") return "accepted";
    if (this.#leftToPeers(this.state === "draining" ? this.request : "ABORT") || this.state === "draining") return "accepted";
    this.request = "ABORT";
    this.state = this.#busy ? "blocked" : "released";
    return "accepted";
  }

  submit() {
    if (!this.#takesWork) return "illegal";
    this.ready++;
    return "accepted";
  }
  #take(count) {
    if (this.state === "released" || !this[count]) return "refused";
    this[count]--;
    return this.#ended();
  }
  abort_submit() { return this.#take("ready"); }
  abort_deferred() { return this.#take("deferred"); }
  deferred_due() {
    if (!this.#takesWork || !this.deferred) return "refused";
    this.deferred--;
    this.ready++;
    return "accepted";
  }
  outbound_begin() {
    if (!this.#takesWork && !(this.state === "draining" && (this.request === "NO_WAIT" || this.request === "PURGE"))) return "illegal";
    if (!this.ready) return "refused";
    this.ready--;
    this.outbound++;
    return "accepted";
  }
  outbound_sent() { return this.#take("outbound"); }
  outbound_failed() { return this.#take("outbound"); }
  outbound_deferred() {
    if (this.state === "released" || !this.outbound) return "refused";
    this.outbound--;
    this.deferred++;
    return this.#ended();
  }
  inbound_begin() {
    if (!this.#takesWork) return "illegal";
    this.inbound++;
    return "accepted";
  }
  inbound_received() { return this.#take("inbound"); }
  inbound_failed() { return this.#take("inbound"); }
  peer_opened() {
    if (this.state === "released") return "finished";
    this.peers++;
    return "accepted";
  }
  peer_closed() {
    if (this.state === "released" || !this.peers) return "refused";
    this.peers--;
    return "accepted";
  }
}
