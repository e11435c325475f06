"""Real mail over the store: messages come in over SMTP or LMTP and go out to a smarthost.

A submitted message goes from `smtp` through `reception` into the store, an inbound one the same way into a Maildir.  An
outgoing one goes from the store through `relay` to the smarthost, and its outcome comes back the same way.  A
`server.MailServer` wires all of it.

The extra `mail` installs the libraries for this; they are loaded with the server, not before.
"""
