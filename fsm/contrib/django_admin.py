"""The admin of Django for a model with a session: its picture, and its triggers as buttons and as actions.

    @admin.register(Order)
    class OrderAdmin(SessionAdmin):
        session_field = "flow"
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe

from fsm.contrib.django import ConcurrentChange
from fsm.session import Session
from fsm.verdict import Refused

__all__ = ["SessionAdmin"]


class SessionAdmin(admin.ModelAdmin):
    """A ModelAdmin that shows the session as a picture, with its triggers as buttons, and as actions for many rows.

    `session_field` is the field's name.  A trigger that is not accepted now is shown with the reason; an event that
    needs data has neither button nor action.  Whoever may change the row may fire.
    """

    session_field = ""

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Add the picture and the triggers to those of a row that is there."""
        shown = () if obj is None else ("session_triggers", "session_picture")
        return (*super().get_readonly_fields(request, obj), *shown)

    @admin.display(description="triggers")
    def session_triggers(self, obj: Any) -> str:
        """Return a button for each event; those that are refused are off, and say why."""
        verdicts = self._session(obj).verdicts()
        return format_html_join(
            " ", '<button type="submit" name="_fire" value="{}" title="{}" {}>{}</button>',
            (
                (event, "" if verdicts[event] else verdicts[event].reason, "" if verdicts[event] else "disabled", event)
                for event in self._events()
            ),
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
            self._fire(request, obj, event)
        return HttpResponseRedirect(request.get_full_path())

    def get_actions(self, request: HttpRequest) -> Any:
        """Add an action for each event."""
        actions = super().get_actions(request)
        if self.has_change_permission(request):
            for event in self._events():
                actions[f"fire_{event}"] = (_action(event), f"fire_{event}", f"Fire {event}")
        return actions

    def _session(self, obj: Any) -> Session:
        session: Session = getattr(obj, self.session_field)
        return session

    def _events(self) -> list[str]:
        """The events that can be fired without asking for data."""
        chart = self.model._meta.get_field(self.session_field).session.chart
        return [str(event) for event in chart.events if not event.data]

    def _fire(self, request: HttpRequest, obj: Any, event: str) -> bool:
        """Fire and save; say what came out of it."""
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
            modeladmin._fire(request, obj, event)

    return fire
