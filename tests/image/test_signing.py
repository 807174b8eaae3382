"""Keys: which are taken, which names they get, and that openssl verifies what each kind signs."""

import subprocess

import debian
import image_file
import messages
import pytest
import signing


def test_several_keys_sign_and_openssl_verifies_each(keys, tmp_path):
    manifest = b"any bytes"
    header = image_file.signed_header(manifest, [keys["ours"], keys["ecdsa"]])
    ours, ecdsa = messages.load().SignedManifest.FromString(header[16:]).signatures
    (tmp_path / "manifest").write_bytes(manifest)
    (tmp_path / "ours").write_bytes(ours.signature)
    (tmp_path / "ecdsa").write_bytes(ecdsa.signature)
    subprocess.run(["openssl", "pkeyutl", "-verify", "-inkey", keys["ours"], "-rawin", "-in", tmp_path / "manifest", "-sigfile",
                    tmp_path / "ours"], check=True, capture_output=True)
    subprocess.run(["openssl", "dgst", "-sha256", "-prverify", keys["ecdsa"], "-signature", tmp_path / "ecdsa", tmp_path / "manifest"],
                   check=True, capture_output=True)
    assert ours.key_id == signing.public_half(keys["ours"]).id and ecdsa.key_id == signing.public_half(keys["ecdsa"]).id


@pytest.mark.parametrize("kind", [["RSA"], ["EC", "-pkeyopt", "ec_paramgen_curve:P-384"], ["ed448"]])
def test_another_kind_of_key_is_refused(kind, tmp_path):
    subprocess.run(["openssl", "genpkey", "-algorithm", *kind, "-out", tmp_path / "key.pem"], check=True, capture_output=True)
    with pytest.raises(debian.Error, match="neither an Ed25519 nor an ECDSA P-256 key"):
        signing.public_half(tmp_path / "key.pem")


def test_what_is_no_key_is_refused(tmp_path):
    (tmp_path / "key.pem").write_text("words\n")
    with pytest.raises(debian.Error, match="openssl pkey"):
        signing.public_half(tmp_path / "key.pem")
    with pytest.raises(debian.Error, match="no such key"):
        signing.public_half(tmp_path / "absent.pem")


def test_a_key_that_is_named_twice_enters_once(keys, next_public):
    half, public = signing.public_half(keys["next"]), signing.public_key(next_public)
    assert half.id == public.id
    assert signing.trusted([half, public]) == {"next.pem": half.pem}


def test_two_keys_of_one_name_are_refused(keys, tmp_path):
    (tmp_path / "ours.pem").write_bytes(keys["ecdsa"].read_bytes())
    with pytest.raises(debian.Error, match="two different keys are called ours.pem"):
        signing.trusted([signing.public_half(keys["ours"]), signing.public_half(tmp_path / "ours.pem")])


def test_the_development_key_is_made_once_and_is_nobody_elses(tmp_path, monkeypatch):
    monkeypatch.setenv("STELE_CACHE", str(tmp_path))
    first = signing.development_key()
    made = first.read_bytes()
    assert first.stat().st_mode & 0o777 == 0o600 and signing.public_half(first).ed25519
    assert signing.development_key().read_bytes() == made


@pytest.mark.parametrize("version", ["1", "1.2", "1.2.3.4", "v1.2.3", "01.2.3", "1.2.3-", "1.2.3 ", "", "1.2.3-a/b"])
def test_what_is_no_version_is_refused(version):
    with pytest.raises(debian.Error, match="a version is MAJOR.MINOR.PATCH"):
        image_file.check_version(version)


def test_none_and_too_many_keys_are_refused(keys):
    for count in (0, 9):
        with pytest.raises(debian.Error, match="1 to 8 keys"):
            image_file.signed_header(b"", [keys["ours"]] * count)
