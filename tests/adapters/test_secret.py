"""The Aito key: read once, checked, renewed when it proved wrong, and never printed."""

from __future__ import annotations

import pytest

from local.stack import Stack
from sync.base.errors import AccessDenied, Unavailable
from sync.gcp import secret as secrets

NAME = "projects/local-project/secrets/secret-test"


@pytest.fixture(autouse=True)
def emulator(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the stand-in, whatever the shell has set."""
    monkeypatch.delenv("AITO_API_KEY", raising=False)
    monkeypatch.setenv("SECRET_MANAGER_EMULATOR_HOST", stack.secrets.url)


def test_read_once(stack: Stack) -> None:
    """The key is read when first needed and kept in memory; it is mute in repr."""
    stack.secrets.add(NAME, "the-key\n")
    before = stack.secrets.accesses
    key = secrets.api_key("secret-test", "local-project")
    assert [key.get(), key.get()] == ["the-key", "the-key"]
    assert stack.secrets.accesses == before + 1
    assert "the-key" not in repr(key)


def test_renewed_when_it_changed(stack: Stack) -> None:
    """`renew` tells whether there is another key to try."""
    stack.secrets.add(NAME, "old-key")
    key = secrets.api_key(NAME, None)
    assert key.get() == "old-key"
    assert not key.renew("old-key")
    stack.secrets.add(NAME, "new-key")
    assert key.renew("old-key")
    assert key.get() == "new-key"


@pytest.mark.parametrize(
    ("name", "project", "full"),
    [
        ("s", "p", "projects/p/secrets/s/versions/latest"),
        ("projects/q/secrets/s", "p", "projects/q/secrets/s/versions/latest"),
        (
            "projects/q/locations/europe-west1/secrets/s",
            None,
            "projects/q/locations/europe-west1/secrets/s/versions/latest",
        ),
        ("projects/q/secrets/s/versions/7", None, "projects/q/secrets/s/versions/7"),
    ],
)
def test_names(name: str, project: str | None, full: str) -> None:
    """An id, a secret's full name, or a version's; latest is the default."""
    assert secrets.version(name, project) == full


def test_a_regional_secret(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read by its full name, from the server of its region."""
    name = "projects/local-project/locations/europe-west1/secrets/regional"
    stack.secrets.add(name, "there")
    assert secrets.api_key(name, None).get() == "there"
    monkeypatch.delenv("SECRET_MANAGER_EMULATOR_HOST")
    asked: list[object] = []
    client = "google.cloud.secretmanager.SecretManagerServiceClient"
    monkeypatch.setattr(client, lambda **options: asked.append(options))
    secrets._client(f"{name}/versions/Live_1")
    secrets._client("projects/p/secrets/s/versions/latest")
    server = "secretmanager.europe-west1.rep.googleapis.com"
    assert asked == [{"client_options": {"api_endpoint": server}}, {}]


@pytest.mark.parametrize(
    ("name", "project", "says"), [(None, "p", "AITO_API_KEY"), ("s", None, "GOOGLE_CLOUD_PROJECT")]
)
def test_nothing_to_read(name: str | None, project: str | None, says: str) -> None:
    """What cannot be named is said, with the remedy."""
    with pytest.raises(AccessDenied, match=says):
        secrets.api_key(name, project).get()


def test_missing_and_forbidden(stack: Stack) -> None:
    """A secret that is not there, and one that may not be read, each have their own remedy."""
    with pytest.raises(AccessDenied, match="gcloud secrets versions add"):
        secrets.api_key("nowhere", "local-project").get()
    stack.secrets.add(NAME, "key")
    stack.secrets.forbidden.add(NAME)
    try:
        with pytest.raises(AccessDenied, match="secretAccessor"):
            secrets.api_key(NAME, None).get()
    finally:
        stack.secrets.forbidden.discard(NAME)


def test_damaged_on_its_way(stack: Stack) -> None:
    """A payload whose checksum is wrong is not used."""
    stack.secrets.add(NAME, "key")
    stack.secrets.corrupt = True
    try:
        with pytest.raises(Unavailable, match="CRC32C"):
            secrets.api_key(NAME, None).get()
    finally:
        stack.secrets.corrupt = False


def test_not_a_key(stack: Stack) -> None:
    """A payload that cannot be a key is refused before it is sent anywhere."""
    stack.secrets.add(NAME, "two words")
    with pytest.raises(AccessDenied, match="does not hold an Aito key"):
        secrets.api_key(NAME, None).get()


def test_laptop(monkeypatch: pytest.MonkeyPatch) -> None:
    """AITO_API_KEY is used instead of Secret Manager when set."""
    monkeypatch.setenv("AITO_API_KEY", "laptop-key")
    assert secrets.api_key("anything", None).get() == "laptop-key"


def test_not_a_key_on_a_laptop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same holds for AITO_API_KEY, and what it is does not show."""
    monkeypatch.setenv("AITO_API_KEY", "schl\u00fcssel")
    with pytest.raises(AccessDenied, match="AITO_API_KEY does not hold an Aito key") as told:
        secrets.api_key("anything", None).get()
    assert "schl" not in str(told.value)
