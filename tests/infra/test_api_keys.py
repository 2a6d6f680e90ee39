"""A key opens what it was made for, until it is revoked; nobody can read it from the database."""

import pytest

from infra import api_keys
from infra.api_keys import ApiKeys
from infra.runtime import Runtime


def test_a_key_is_recognised_by_its_tenant_and_role(runtime: Runtime) -> None:
    keys = ApiKeys(runtime.pool)
    shown = keys.create("acme", "read")
    found = keys.find(shown)
    assert found is not None
    assert (found.tenant, found.role) == ("acme", "read")
    assert found == ApiKeys(runtime.pool).find(shown)


def test_a_key_has_256_random_bits_and_is_not_kept(runtime: Runtime) -> None:
    shown = ApiKeys(runtime.pool).create("acme", "read")
    secret = shown.split("_", 2)[2]
    assert len(secret) * 6 >= 256
    with runtime.pool.connection() as conn:
        kept = conn.execute("SELECT * FROM crm.api_key").fetchall()
    assert secret not in repr(kept)


@pytest.mark.parametrize("change", [slice(None, -1), slice(1, None)])
def test_a_part_of_a_key_opens_nothing(runtime: Runtime, change: slice) -> None:
    keys = ApiKeys(runtime.pool)
    assert keys.find(keys.create("acme", "read")[change]) is None


def test_the_secret_of_another_key_opens_nothing(runtime: Runtime) -> None:
    keys = ApiKeys(runtime.pool)
    one, other = keys.create("acme", "read"), keys.create("acme", "operate")
    assert keys.find(one[:17] + other[17:]) is None


def test_a_revoked_key_opens_nothing(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    keys, others = ApiKeys(runtime.pool), ApiKeys(runtime.pool)
    shown = keys.create("acme", "read")
    [listed] = keys.list("acme")
    assert others.find(shown) is not None
    assert keys.revoke(listed.id)
    assert not keys.revoke(listed.id)
    assert keys.find(shown) is None
    monkeypatch.setattr(api_keys, "CACHE_SECONDS", 0.0)
    assert others.find(shown) is None
    assert keys.list("acme")[0].revoked_at is not None


def test_a_key_is_remembered_for_a_moment(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = ApiKeys(runtime.pool)
    one, other = keys.create("acme", "read"), keys.create("acme", "operate")
    assert keys.remembered(one) is None
    found = keys.find(one)
    with monkeypatch.context() as away:
        away.setattr(keys, "_pool", None)  # so whoever asked the database would fail
        assert keys.remembered(one) == found
        assert keys.remembered(one[:17] + other[17:]) is None
        assert keys.remembered(one[:-1]) is None
    monkeypatch.setattr(api_keys, "CACHE_SECONDS", 0.0)
    assert keys.remembered(one) is None


def test_a_key_that_is_revoked_here_is_not_remembered(runtime: Runtime) -> None:
    keys = ApiKeys(runtime.pool)
    shown = keys.create("acme", "read")
    found = keys.find(shown)
    assert found is not None
    keys.revoke(found.id)
    assert keys.remembered(shown) is None


def test_keys_are_listed_by_tenant(runtime: Runtime) -> None:
    keys = ApiKeys(runtime.pool)
    keys.create("acme", "read")
    keys.create("other", "operate")
    assert [key.tenant for key in keys.list("acme")] == ["acme"]
    assert [key.tenant for key in keys.list()] == ["acme", "other"]


@pytest.mark.parametrize("tenant", ["", "Acme", "a b", "acme\x1f", "-acme", "a" * 64])
def test_a_tenant_has_a_plain_name(runtime: Runtime, tenant: str) -> None:
    with pytest.raises(ValueError, match="tenant"):
        ApiKeys(runtime.pool).create(tenant, "read")


def test_a_role_must_exist(runtime: Runtime) -> None:
    with pytest.raises(ValueError, match="publish, read, operate, hold"):
        ApiKeys(runtime.pool).create("acme", "admin")  # type: ignore[arg-type]
