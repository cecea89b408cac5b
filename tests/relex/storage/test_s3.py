import pytest

from relex.errors import StorageError
from relex.storage import S3Connection, check_writable, open_store
from relex.storage.embedded import free_port
from relex.storage.s3 import PART_BYTES, split_uri


@pytest.fixture
def wrong_keys(s3, tmp_path) -> S3Connection:
    path = tmp_path / "credentials"
    path.write_text("[default]\naws_access_key_id = wrongwrong\naws_secret_access_key = wrong\n")
    return s3.connection.model_copy(update={"credentials_file": str(path)})


def test_a_writable_bucket_is_left_as_it_was(s3):
    check_writable(f"{s3.uri}/prefix", s3.connection)
    assert s3.store().list() == []


def test_an_object_is_a_plain_file_as_soon_as_it_is_stored(s3):
    s3.store().put("deep/key", b"abc")
    assert (s3.folder / "deep/key").read_bytes() == b"abc"


def test_an_object_of_several_parts_is_stored_whole(s3, tmp_path):
    data = bytes(range(251)) * (PART_BYTES // 251 + 1000)
    (tmp_path / "file").write_bytes(data)
    s3.store().put_file("large", tmp_path / "file")
    assert (s3.folder / "large").read_bytes() == data


def test_the_server_takes_the_checksums_of_aws_too(s3):
    connection = s3.connection.model_copy(update={"checksums": "when_supported"})
    store = open_store(s3.uri, connection)
    store.put("key", b"abc")
    assert store.get("key") == b"abc"


def test_a_bucket_that_does_not_exist_is_named(s3):
    with pytest.raises(StorageError, match=r"s3://absent/.*the bucket does not exist"):
        check_writable("s3://absent/prefix", s3.connection)


def test_wrong_keys_are_told(s3, wrong_keys):
    with pytest.raises(StorageError, match=f"{s3.uri}.*the server refuses these credentials"):
        check_writable(s3.uri, wrong_keys)


def test_keys_in_the_environment_do_not_hide_those_of_the_file(s3, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "wrongwrong")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    check_writable(s3.uri, s3.connection.model_copy(update={"region": "eu-central-1"}))


def test_a_proxy_in_the_environment_is_not_asked_for_a_local_server(s3, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("no_proxy", "")
    check_writable(s3.uri, s3.connection.model_copy(update={"region": "eu-west-1"}))


def test_an_address_where_nothing_answers_is_refused(s3):
    closed = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(StorageError, match=f'"{closed}.*AWS_ENDPOINT_URL where there is'):
        check_writable(s3.uri, s3.connection.model_copy(update={"endpoint_url": closed}))


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"profile": "absent"}, r"profile \(absent\) could not be found"),
        ({"endpoint_url": "nonsense"}, "Invalid endpoint: nonsense"),
    ],
)
def test_a_connection_that_cannot_be_used_is_told(s3, changes, finding):
    with pytest.raises(StorageError, match=finding):
        open_store(s3.uri, s3.connection.model_copy(update=changes))


@pytest.mark.parametrize(
    ("uri", "bucket", "prefix"),
    [("s3://a", "a", ""), ("s3://a/", "a", ""), ("s3://a/b/c/", "a", "b/c")],
)
def test_an_address_has_a_bucket_and_a_prefix(uri, bucket, prefix):
    assert split_uri(uri) == (bucket, prefix)


def test_an_address_without_a_bucket_is_refused(s3):
    with pytest.raises(StorageError, match="not an S3 address; write s3://bucket/prefix"):
        open_store("s3:///prefix", s3.connection)
