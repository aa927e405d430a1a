"""The page on orders over HTTP: what its requests answer while a charge waits, is given up, or is known from before."""

import httpx
import orders
import pytest
from pages import code_of, define

pytest.importorskip("msgspec")
pytest.importorskip("fastapi")
pytestmark = pytest.mark.anyio


@pytest.fixture
def service(tmp_path, monkeypatch):
    """The names of the first block, in an empty directory."""
    monkeypatch.chdir(tmp_path)
    return define(code_of("docs/orders-service.md")[0], name="order_service")


def client_of(app):
    """Return a client that calls the application without a server."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://orders")


async def asked(client, method, order, **body):
    """Return the status code and the JSON of an answer."""
    answer = await client.request(method, f"/orders/{order}", json=body or None)
    return answer.status_code, answer.json()


async def test_an_order_is_taken_back_before_its_charge_begins(service, monkeypatch):
    """Once, and no later start charges it. Before the charge begins there is no invoice."""
    paid = []
    monkeypatch.setattr(orders, "pay", lambda *payment: paid.append(payment))
    app = service["app"]
    async with service["lifespan"](app), client_of(app) as client:
        app.state.executor.pause()
        assert await asked(client, "PUT", 1, amount=7) == (202, {"charge": "pending"})
        shown = {"charge": {"status": "pending", "error": None}, "invoice": None}
        assert await asked(client, "GET", 1) == (200, shown)
        assert await asked(client, "DELETE", 1) == (200, {"charge": "cancelled"})
        assert await asked(client, "DELETE", 1) == (409, {"detail": "the charge is cancelled"})
    async with service["lifespan"](app), client_of(app) as client:
        await app.state.executor.join()
        assert await asked(client, "PUT", 1, amount=7) == (200, {"charge": "cancelled"})
        _, shown = await asked(client, "GET", 1)
        assert shown["charge"] == {"status": "cancelled", "error": "EventCancelled: by the customer"}
    assert paid == []


async def test_a_charge_that_fails_is_shown_with_its_error(service, monkeypatch):
    """Its invoice is skipped. An order with another amount is refused, and a stopped service says 503."""

    def refuse(*_):
        raise ValueError("no money")

    monkeypatch.setattr(orders, "pay", refuse)
    app = service["app"]
    async with service["lifespan"](app), client_of(app) as client:
        assert (await asked(client, "PUT", 1, amount=7))[0] == 202
        await app.state.executor.join()
        assert (await asked(client, "PUT", 1, amount=8))[0] == 409
        _, shown = await asked(client, "GET", 1)
        assert shown["charge"] == {"status": "failed", "error": "ValueError: no money"}
        assert shown["invoice"]["status"] == "skipped"
    async with client_of(app) as client:
        answer = await client.put("/orders/2", json={"amount": 7})
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
