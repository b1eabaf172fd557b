"""A small Django project over fastcache.

``python tests/django_site.py`` looks at it with Django's test client, gunicorn serves ``django_site:application``.
SITE_CACHE is the directory of its cache, SITE_OPTIONS its options as JSON."""

import json
import os
import sys
import time

import django
from django.conf import settings

TEMPLATE = "{% load cache %}{% cache 600 greeting name %}{{ name }} of {% pid %}{% endcache %}"
PATIENCE_SECONDS = 60

# As a program it names itself by the name of a module.
sys.modules.setdefault("django_site", sys.modules[__name__])
settings.configure(
    SECRET_KEY="a key that only the tests have",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF="django_site",
    INSTALLED_APPS=["django.contrib.sessions"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
    CACHES={
        "default": {
            "BACKEND": "fastcache.django.FastCache",
            "LOCATION": os.environ["SITE_CACHE"],
            "KEY_PREFIX": "site",
            "OPTIONS": json.loads(os.environ.get("SITE_OPTIONS", "{}")),
        }
    },
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
)
django.setup()

from django.core.cache import cache  # noqa: E402
from django.core.cache.utils import make_template_fragment_key  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpResponse, JsonResponse  # noqa: E402
from django.template import Engine, Library  # noqa: E402
from django.template.context import Context  # noqa: E402
from django.urls import path  # noqa: E402
from django.views.decorators.cache import cache_page  # noqa: E402

library = register = Library()


@register.simple_tag
def pid():
    return os.getpid()


engine = Engine(libraries={"cache": "django.templatetags.cache"}, builtins=["django_site"])
template = engine.from_string(TEMPLATE)


def visits(request):
    """Count how often this session was here."""
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JsonResponse({"visits": request.session["visits"], "pid": os.getpid()})


def greeting(request):
    """A template with a fragment that tells which process has rendered it."""
    return HttpResponse(template.render(Context({"name": request.GET["name"]})))


def forget(request):
    return JsonResponse({"forgotten": cache.delete(make_template_fragment_key("greeting", [request.GET["name"]]))})


@cache_page(600)
def page(request):
    """A whole page, kept by the middleware as a response, which is no plain data."""
    return HttpResponse(f"made by {os.getpid()}")


def count(request):
    """Count all calls."""
    cache.add("count", 0, timeout=None)
    return JsonResponse({"count": cache.incr("count"), "pid": os.getpid()})


def meet(request):
    """Wait until so many processes are here at the same time."""
    cache.add("here", 0)
    cache.incr("here")
    until = time.monotonic() + PATIENCE_SECONDS
    while cache.get("here") < int(request.GET["many"]) and time.monotonic() < until:
        time.sleep(0.005)
    return JsonResponse({"here": cache.get("here"), "pid": os.getpid()})


def compute(request):
    """What takes a moment, once for all processes."""

    def work():
        cache.add("computed", 0)
        time.sleep(0.2)
        return cache.incr("computed")

    return JsonResponse({"value": cache.get_or_set("result", work), "pid": os.getpid()})


urlpatterns = [path(f"{view.__name__}/", view) for view in (visits, greeting, forget, page, count, meet, compute)]
application = get_wsgi_application()


def check():
    """Sessions, fragments and pages, as Django's test client sees them."""
    from django.test import Client

    first, second = Client(), Client()
    assert [first.get("/visits/").json()["visits"] for _ in range(3)] == [1, 2, 3]
    assert second.get("/visits/").json()["visits"] == 1
    name = f"site:1:django.contrib.sessions.cache{first.session.session_key}"
    assert cache.cache[name]["visits"] == 3
    first.session.flush()
    assert name not in cache.cache
    key = make_template_fragment_key("greeting", ["Ada"])
    shown = first.get("/greeting/", {"name": "Ada"}).content
    assert shown == f"Ada of {os.getpid()}".encode()
    cache.set(key, "what was kept")
    assert first.get("/greeting/", {"name": "Ada"}).content == b"what was kept"
    assert first.get("/greeting/", {"name": "Bob"}).content != b"what was kept"
    assert first.get("/forget/", {"name": "Ada"}).json() == {"forgotten": True}
    assert first.get("/greeting/", {"name": "Ada"}).content == shown
    kept = first.get("/page/")
    again = second.get("/page/")
    assert again.content == kept.content
    assert again.headers["Expires"] == kept.headers["Expires"]
    print(json.dumps("checked"))


if __name__ == "__main__":
    check()
