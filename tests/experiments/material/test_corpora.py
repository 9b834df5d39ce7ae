import struct
import zlib

from experiments.material import corpora

RUTH = (
    '<div canonical="true" osisID="Ruth" sID="gen1" type="book"/> <title level="1">Ruth</title>'
    ' <div sID="gen2" type="x-p"/> <chapter n="1" osisID="Ruth.1" sID="Ruth.1"/> Now it'
    ' <w lemma="strong:H1961">came</w> to <transChange type="added">pass</transChange>'
    '<note placement="foot"><reference>1.1 </reference>judged</note>.'
    '  <div sID="gen3" type="x-p"/>¶ And\n the name. '
)


def test_king_james_reads_ztext_without_notes_and_headings(tmp_path):
    folder = tmp_path / "usr/share/sword/modules/texts/ztext/engKJV2006eb"
    folder.mkdir(parents=True)
    blocks = [zlib.compress(text.encode()) for text in ("<milestone/>", RUTH)]
    rows = struct.pack("<6I", 0, len(blocks[0]), 0, len(blocks[0]), len(blocks[1]), 0)
    for part in ("ot", "nt"):
        kept = part == "ot"
        (folder / f"{part}.bzz").write_bytes(b"".join(blocks) if kept else b"")
        (folder / f"{part}.bzs").write_bytes(rows if kept else b"")
    assert corpora.king_james(tmp_path) == {"Ruth": "Now it came to pass.\nAnd\nthe name."}


def test_python_text_leaves_out_tables_and_tests(tmp_path):
    lib, docs = tmp_path / "usr/lib/python3.11", tmp_path / "usr/share/doc/python3.11/html"
    for path in (lib / "a.py", lib / "json/b.py", lib / "encodings/c.py", lib / "test/d.py"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
    (docs / "_sources/library").mkdir(parents=True)
    (docs / "_sources/library/os.rst.txt").write_bytes(b"os\r\n==\r\n")
    assert corpora.python_source(tmp_path) == {"a.py": "a.py", "json/b.py": "b.py"}
    assert corpora.python_docs(tmp_path) == {"library/os.rst.txt": "os\n==\n"}
