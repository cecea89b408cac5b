import pytest

from relex.config import StorageConfig


@pytest.mark.parametrize(
    ("endpoint_url", "checksums", "expected"),
    [
        ("", "auto", "when_supported"),
        ("http://store", "auto", "when_required"),
        ("http://store", "when_supported", "when_supported"),
        ("", "when_required", "when_required"),
    ],
)
def test_checksums_are_left_out_where_servers_may_refuse_them(endpoint_url, checksums, expected):
    config = StorageConfig(endpoint_url=endpoint_url, checksums=checksums)
    assert config.connection.checksums == expected
