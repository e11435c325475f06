"""The SMTP dialogue as two machines without any I/O: bytes go in, bytes and decisions come out.

`client_chart` says what a client may send and what each reply means, `server_chart` what a server accepts and when;
both are charts of this engine, so `fsm check` examines them and `fsm draw` draws them.  `client_dialogue` and
`server_dialogue` put words on them: they parse and write the lines.  Sockets, time and the store are one floor up.

    fsm check --chart fsm.mail.smtp.client_chart:CLIENT
"""
