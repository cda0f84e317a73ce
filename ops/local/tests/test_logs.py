from ops.local import logs


def test_the_log_of_the_run_before_is_kept_once(tmp_path):
    log = tmp_path / "gateway.log"
    for text in ("first", "second"):
        logs.begin_anew(log)
        log.write_text(text)
    logs.begin_anew(log)
    assert not log.exists()
    assert (tmp_path / "gateway.log.1").read_text() == "second"


def test_a_log_that_grows_too_long_is_emptied_under_its_writer(tmp_path):
    log = tmp_path / "worker.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"x" * 100)
        logs.keep_bounded([log, tmp_path / "missing.log"], max_bytes=50)
        writer.write(b"after")
    assert log.read_bytes() == b"after"
    assert (tmp_path / "worker.log.1").stat().st_size == 100


def test_the_last_lines(tmp_path):
    log = tmp_path / "x.log"
    log.write_text("\n".join(str(number) for number in range(100)) + "\n\n")
    assert logs.tail(log, 2) == "    98\n    99"
    assert logs.tail(tmp_path / "missing.log") == ""
