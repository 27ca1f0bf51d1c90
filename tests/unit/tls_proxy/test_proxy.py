"""Which Caddy the role installs, how strong its TLS is, and which header fields it sends."""

from __future__ import annotations

import re
from base64 import b64encode
from typing import TYPE_CHECKING

import pytest
import yaml

from local_aws.settings import Settings
from tests.conftest import ROOT
from tests.findings import accepted
from tests.testssl import tls_findings

from .conftest import PASSWORD, TOKEN

if TYPE_CHECKING:
    from .conftest import Proxy

pytestmark = pytest.mark.slow

OLDEST = yaml.safe_load((ROOT / "roles/tls_proxy/vars/main.yml").read_text())["__tls_proxy_oldest"]
PREFERENCES = "/etc/apt/preferences.d/caddy"
# Modules of Caddy's that advisories are about (docs/security.md): none of them is in use.
UNUSED = {
    "admin",
    "client_authentication",
    "fastcgi",
    "forward_auth",
    "template",
    "try_files",
    "vars_regexp",
}


def version(host: Proxy) -> tuple[int, ...]:
    """Return the version of the installed Caddy."""
    text = host.run("caddy", "version").stdout.lstrip("v")
    return tuple(int(number) for number in re.findall(r"\d+", text)[:3])


def test_check_mode_on_bare_host_writes_nothing(bare: Proxy) -> None:
    if bare.run("test", "-e", PREFERENCES, check=False).returncode == 0:
        pytest.fail("this test must run before the role does")
    recap, output = bare.play("--check")

    assert recap["failed"] == 0, output
    assert bare.run("test", "-e", PREFERENCES, check=False).returncode != 0


def test_release_without_backports_is_refused_before_anything_changes(bare: Proxy) -> None:
    recap, output = bare.play(__tls_proxy_oldest={"forky": "2.11.2"})

    assert (recap["failed"], recap["changed"]) == (1, 0), output
    assert "tls_proxy_caddy_source: backports is not a valid source on Debian 13" in output


def test_caddy_of_the_distribution_is_replaced_by_that_of_backports(bare: Proxy) -> None:
    recap, output = bare.play(tls_proxy_caddy_source="distribution")
    assert recap["failed"] == 0, output
    assert version(bare)[:2] == (2, 6)
    assert bare.run("test", "-e", PREFERENCES, check=False).returncode != 0

    recap, output = bare.play("--check")
    assert recap["failed"] == 0, output
    assert "Pin: release n=trixie-backports" in output
    assert bare.run("test", "-e", PREFERENCES, check=False).returncode != 0
    recap, output = bare.play()
    assert recap["failed"] == 0, output
    oldest = tuple(int(number) for number in OLDEST["trixie"].split("."))
    assert version(bare) >= oldest
    # What runs is what was installed.
    [pid] = bare.run("systemctl", "show", "--value", "--property=MainPID", "caddy").stdout.split()
    assert "(deleted)" not in bare.run("readlink", f"/proc/{pid}/exe").stdout


def test_second_run_changes_nothing(proxy: Proxy) -> None:
    for options in ((), ("--check",)):
        recap, output = proxy.play(*options)

        assert (recap["changed"], recap["failed"]) == (0, 0), output


def test_backports_are_for_caddy_only(proxy: Proxy) -> None:
    policy = proxy.run("apt-cache", "policy", "curl", "caddy").stdout
    candidates = re.findall(r"Candidate: (\S+)", policy)

    assert "~bpo" not in candidates[0]
    assert "~bpo" in candidates[1]


def test_mirror_that_lacks_the_version_is_an_error(proxy: Proxy) -> None:
    recap, output = proxy.play(__tls_proxy_oldest={"trixie": "9.9.9"})

    assert recap["failed"] == 1, output
    assert "caddy>=9.9.9" in output
    assert version(proxy) < (9,)


def test_auditor_has_no_finding_that_is_not_explained(proxy: Proxy) -> None:
    found = tls_findings(Settings(data_dir=proxy.folder), "127.0.0.1", proxy.port, proxy.authority)
    explained = {(line.check, line.severity) for line in accepted(rated=True, proxy=True)}

    assert [one for one in found if (one.check, one.severity.lower()) not in explained] == []
    assert explained == {(one.check, one.severity.lower()) for one in found}


@pytest.mark.parametrize(
    ("options", "agreed"),
    [
        ("-groups X25519MLKEM768", True),
        ("-groups X25519", True),
        ("-tls1_2 -sigalgs ECDSA+SHA256", True),
        ("-tls1_2 -sigalgs ECDSA+SHA1 -cipher DEFAULT:@SECLEVEL=0", False),
        ("-tls1_1 -cipher DEFAULT:@SECLEVEL=0", False),
        ("-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA256:AES128-SHA:@SECLEVEL=0", False),
    ],
)
def test_handshake_uses_strong_algorithms_only(proxy: Proxy, options: str, *, agreed: bool) -> None:
    command = f"openssl s_client -connect 127.0.0.1:5000 {options} </dev/null"
    said = proxy.run("sh", "-c", command, check=False).stdout

    assert ("Cipher is (NONE)" not in said) is agreed, said


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({}, ["base-uri 'self'; form-action 'self'; frame-ancestors 'self'; object-src 'none'"]),
        (
            {"Content-Security-Policy": "sandbox; default-src 'none'"},
            [
                "sandbox; default-src 'none'",
                "base-uri 'self'; form-action 'self'; frame-ancestors 'self'; object-src 'none'",
            ],
        ),
    ],
)
def test_policy_of_the_server_is_kept_beside_that_of_the_proxy(
    proxy: Proxy, sent: dict[str, str], expected: list[str]
) -> None:
    query = "&".join(f"{name}={value}" for name, value in sent.items())
    answer = proxy.ask(f"/x?{query}".replace(";", "%3B"))

    # Each is a field of its own; requests joins them.
    assert answer.headers["Content-Security-Policy"] == ", ".join(expected)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert "Server" not in answer.headers


def test_modules_of_advisories_are_not_in_use(proxy: Proxy) -> None:
    """Each advisory of Caddy's that names a module is answered by its absence."""
    adapted = proxy.run("caddy", "adapt", "--config", "/etc/caddy/Caddyfile").stdout
    admin = '"admin":{"disabled":true}'

    assert admin in adapted
    rest = adapted.replace(admin, "")
    assert {module for module in UNUSED if module in rest} == set()


@pytest.mark.parametrize("path", ["/-/metrics/host", "/-/METRICS/host", "/%2D/metrics/host"])
def test_path_in_other_letters_needs_the_token_too(proxy: Proxy, path: str) -> None:
    """CVE-2026-27587: an escaped pattern minded the case of a path, and so let it pass.

    https://nvd.nist.gov/vuln/detail/CVE-2026-27587
    """
    assert proxy.ask(path).status_code == 401
    assert proxy.ask(path, Authorization=f"Bearer {TOKEN}").json()["path"] == "/metrics"


@pytest.mark.parametrize("host", ["evil.test", "127.0.0.2", "LOCALHOST"])
def test_other_host_is_refused(proxy: Proxy, host: str) -> None:
    """CVE-2026-27588: with more than 100 names, the case of a name mattered.

    https://nvd.nist.gov/vuln/detail/CVE-2026-27588
    """
    assert proxy.ask("/", Host=host).status_code == 421


def test_address_of_the_administration_is_closed(proxy: Proxy) -> None:
    """CVE-2026-27589, CVE-2026-45692, GHSA-gx7w-56w6-g48x: the interface for administration.

    https://nvd.nist.gov/vuln/detail/CVE-2026-27589
    https://nvd.nist.gov/vuln/detail/CVE-2026-45692
    https://github.com/advisories/GHSA-gx7w-56w6-g48x
    """
    lines = proxy.run("ss", "--no-header", "--listening", "--tcp", "--numeric").stdout.splitlines()
    ports = {int(line.split()[3].rpartition(":")[2]) for line in lines}

    assert 2019 not in ports
    assert 5000 in ports


def test_fields_between_server_and_proxy_do_not_pass(proxy: Proxy) -> None:
    """CVE-2026-55458: an answer to an upgrade passed on fields that are for the proxy alone.

    https://nvd.nist.gov/vuln/detail/CVE-2026-55458
    """
    answer = proxy.ask("/x?Keep-Alive=timeout%3D5&Proxy-Authenticate=Basic&Alt-Svc=clear")

    assert "Keep-Alive" not in answer.headers
    assert "Proxy-Authenticate" not in answer.headers


@pytest.mark.parametrize("path", ["/-/page", "/-/page/graph?x=1", "/-/PAGE/graph"])
def test_page_needs_the_login_which_the_server_behind_does_not_get(proxy: Proxy, path: str) -> None:
    for login in ("", f"viewer:{PASSWORD}x", f"other:{PASSWORD}"):
        refused = proxy.ask(path, Authorization=f"Basic {b64encode(login.encode()).decode()}")
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"] == 'Basic realm="/-/page"'
    login = b64encode(f"viewer:{PASSWORD}".encode()).decode()
    answer = proxy.ask(path, Authorization=f"Basic {login}").json()

    assert answer["path"] == path
    assert "Authorization" not in answer["fields"]


def test_page_is_not_what_begins_like_it(proxy: Proxy) -> None:
    assert proxy.ask("/-/pages").json()["path"] == "/-/pages"


def test_file_is_a_page_with_the_same_login(proxy: Proxy) -> None:
    login = b64encode(f"viewer:{PASSWORD}".encode()).decode()
    proxy.run("install", "-d", "-g", "caddy", "-m", "750", "/var/lib/page")
    missing = proxy.ask("/-/file", Authorization=f"Basic {login}")
    proxy.run("sh", "-c", "echo all well > /var/lib/page/file.txt")
    proxy.run("sh", "-c", "echo a secret > /var/lib/page/other.txt")
    answer = proxy.ask("/-/file", Authorization=f"Basic {login}")
    other = proxy.ask("/-/file/other.txt", Authorization=f"Basic {login}")

    assert missing.status_code == 404
    assert proxy.ask("/-/file").status_code == 401
    assert answer.text == other.text == "all well\n"
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"


# The last test of pages: it removes them for a while.
def test_login_of_pages_goes_with_the_last_page(proxy: Proxy) -> None:
    try:
        recap, output = proxy.play(tls_proxy_pages=[])
        assert recap["failed"] == 0, output
        assert proxy.run("test", "-e", "/etc/caddy/tls/pages", check=False).returncode != 0
        assert proxy.ask("/-/page").status_code == 200
    finally:
        proxy.play()
