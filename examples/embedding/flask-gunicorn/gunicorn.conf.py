"""gunicorn reads this by itself."""

from mail import mail

post_worker_init, worker_exit = mail.post_worker_init, mail.worker_exit
