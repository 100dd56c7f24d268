"""XML text to a light tree, safely: no document type, no entities of its own, bounded in depth, nodes and size.

The codec reads shapes out of the tree; the record room reads element names, attributes and order as they were sent.
Knows no shapes and no protocol. What is refused raises `Malformed`.
"""

from __future__ import annotations

from pyexpat import ExpatError, ParserCreate, XMLParserType

from opentrail.wire.scalars import NESTING_MAX, Malformed

XML_SIZE_MAX = 16 * 1024 * 1024
"""Bytes of the largest document: CompleteMultipartUpload with 10,000 parts and all checksums stays below."""
XML_ELEMENTS_MAX = 250_000
"""Elements in one document."""
XML_ATTRIBUTES_MAX = 64
"""Attributes of one element, namespace declarations included."""


class Element:
    """One element. `name` is as sent (`ns:Grant`), `local` without the prefix; `attributes` have their names as sent and
    hold the namespace declarations too; `children` are in order; `text` is the character data of an element that has no
    children, blanks included, and empty for others."""

    __slots__ = ("attributes", "children", "local", "name", "text")

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name = name
        self.local = name.rpartition(":")[2]
        self.attributes = attributes
        self.children: list[Element] = []
        self.text = ""

    def child(self, local: str) -> Element | None:
        """The first child of that name, whatever its prefix."""
        return next((child for child in self.children if child.local == local), None)


class _Builder:
    """The parser's callbacks. Every limit is checked before anything is kept."""

    def __init__(self) -> None:
        self.root: Element | None = None
        self._open: list[Element] = []
        self.text: list[str] = []
        self._elements = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        if len(self._open) >= NESTING_MAX:
            raise Malformed("XML is nested too deep")
        if self._elements > XML_ELEMENTS_MAX or len(attributes) > XML_ATTRIBUTES_MAX:
            raise Malformed("XML has too many elements or attributes")
        element = Element(name, attributes)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)
        self.text.clear()

    def end(self, _name: str) -> None:
        element = self._open.pop()
        if self.text and not element.children:
            element.text = "".join(self.text)
        self.text.clear()


def _refuse_doctype(*_of_it: object) -> None:
    raise Malformed("XML has a document type")


def parse_xml(data: bytes) -> Element:
    """The root element of a UTF-8 document. Malformed if it is not well-formed, has a DOCTYPE, or exceeds a limit."""
    if len(data) > XML_SIZE_MAX:
        raise Malformed("XML is too large")
    if b"\0" in data:
        raise Malformed("XML is not UTF-8")
    builder = _Builder()
    try:
        _parser(builder).Parse(data, True)
    except ExpatError:
        raise Malformed("XML is not well-formed") from None
    if builder.root is None:
        raise Malformed("XML has no element")
    return builder.root


def _parser(builder: _Builder) -> XMLParserType:
    """Overrides whatever encoding the document declares: S3 takes UTF-8 only. (A byte order mark of UTF-16 would win,
    but every document in it has NUL bytes.)"""
    parser = ParserCreate("UTF-8")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text.append
    return parser
