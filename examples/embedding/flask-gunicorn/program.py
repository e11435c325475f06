"""A Flask application that takes mail.  Start it with: gunicorn program:app"""

from flask import Flask, request
from mail import mail

from fsm.store import StoreClosing

app = Flask(__name__)
app.wsgi_app = mail.middleware(app.wsgi_app)
app.register_error_handler(StoreClosing, mail.unavailable)


@app.post("/mail")
def take() -> str:
    return mail.store.submit(request.get_data())
