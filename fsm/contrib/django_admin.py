"""The admin of Django for a model with a session: its picture, and its triggers as buttons and as actions.

    @admin.register(Order)
    class OrderAdmin(SessionAdmin):
        session_field = "flow"
"""

# Django ships no types:
# pyright: reportMissingTypeStubs=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownParameterType=false, reportUnknownVariableType=false, reportUntypedBaseClass=false
# pyright: reportUntypedFunctionDecorator=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe

from fsm.contrib.django import ConcurrentChange, has_event_perm
from fsm.session import Session
from fsm.verdict import Refused

__all__ = ["SessionAdmin"]


class SessionAdmin(admin.ModelAdmin):
    """A ModelAdmin that shows the session as a picture, with its triggers as buttons, and as actions for many rows.

    `session_field` is the field's name.  A trigger that is not accepted now is shown with the reason; an event that
    needs data has neither button nor action.  Whoever may change the row may fire what the field's `permissions` allow:
    a button is off without, and there is no action for an event whose permission the user does not have.
    """

    session_field = ""

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Add the picture and the triggers to those of a row that is there."""
        shown = () if obj is None else ("session_triggers", "session_picture")
        return (*super().get_readonly_fields(request, obj), *shown)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return the row, with the user who looks at it: a read-only field is shown without the request."""
        if (obj := super().get_object(request, object_id, from_field)) is not None:
            obj.session_user = request.user
        return obj

    @admin.display(description="triggers")
    def session_triggers(self, obj: Any) -> str:
        """Return a button for each event; those that are refused are off, and say why."""
        user, verdicts = getattr(obj, "session_user", AnonymousUser()), self._session(obj).verdicts()
        reasons = {event: self._forbidden(obj, event, user) or verdicts[event].reason or "" for event in self._events()}
        return format_html_join(
            " ", '<button type="submit" name="_fire" value="{}" title="{}" {}>{}</button>',
            ((event, reason, "disabled" if reason else "", event) for event, reason in reasons.items()),
        )  # fmt: skip

    @admin.display(description="picture")
    def session_picture(self, obj: Any) -> str:
        """Return the session as SVG, or as the source of one if no renderer is installed."""
        from fsm.draw import mimebundle

        shown = mimebundle(self._session(obj))
        if (svg := shown.get("image/svg+xml")) is not None:
            return mark_safe(svg)
        return format_html("<pre>{}</pre>", shown["text/plain"])

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        """Fire the event whose button was pressed, and stay on the page."""
        if (event := request.POST.get("_fire")) is None:
            return super().response_change(request, obj)
        if event in self._events():
            self.fire(request, obj, event)
        return HttpResponseRedirect(request.get_full_path())

    def get_actions(self, request: HttpRequest) -> Any:
        """Add an action for each event, but for those whose permission the user does not have."""
        actions = super().get_actions(request)
        if self.has_change_permission(request):
            for event in self._events():
                wanted = self._field().permissions.get(event)
                if isinstance(wanted, str) and not request.user.has_perm(wanted):
                    continue
                actions[f"fire_{event}"] = (_action(event), f"fire_{event}", f"Fire {event}")
        return actions

    def _session(self, obj: Any) -> Session:
        session: Session = getattr(obj, self.session_field)
        return session

    def _field(self) -> Any:
        return self.model._meta.get_field(self.session_field)

    def _events(self) -> list[str]:
        """The events that can be fired without asking for data."""
        return [str(event) for event in self._field().session.chart.events if not event.data]

    def _forbidden(self, obj: Any, event: str, user: Any) -> str:
        """Why this user may not fire this event; empty if the user may."""
        return "" if has_event_perm(obj, self.session_field, event, user) else f"{user} may not {event}"

    def fire(self, request: HttpRequest, obj: Any, event: str) -> bool:
        """Fire for the request's user and save; say what came out of it, and return whether it was fired."""
        if forbidden := self._forbidden(obj, event, request.user):
            self.message_user(request, f"{obj}: {forbidden}", messages.ERROR)
            return False
        try:
            self._session(obj).fire(event)
            obj.save()
        except (Refused, ConcurrentChange) as error:
            self.message_user(request, f"{obj}: {error}", messages.ERROR)
            return False
        self.log_change(request, obj, f"{event}: now {self._session(obj).state}")
        self.message_user(request, f"{obj}: {event}: now {self._session(obj).state}", messages.SUCCESS)
        return True


def _action(event: str) -> Callable[[SessionAdmin, HttpRequest, Any], None]:
    def fire(modeladmin: SessionAdmin, request: HttpRequest, queryset: Any) -> None:
        for obj in queryset:
            modeladmin.fire(request, obj, event)

    return fire
