"""How deep a msgpack payload is nested, found without recursion.

The decoder's own limit depends on how deep the caller stands in the stack: near it, one process would read
what another refuses, and a verdict would not be repeatable.
"""

# First byte → bytes of the length that follows it, and for extensions one byte of type.
_SIZED = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xC7: 1, 0xC8: 2, 0xC9: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_EXTENSIONS = (0xC7, 0xC8, 0xC9)
# First byte → bytes that follow it: floats, integers, extensions of a fixed size.
_FIXED = {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8} | {
    0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17,
}  # fmt: skip
# First byte → bytes of the number of items, and values an item.
_CONTAINERS = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}


def is_nested_deeper(payload: bytes, limit: int) -> bool:
    """Whether lists and maps stand more than ``limit`` deep; what is torn is judged up to the tear."""
    open_items = [1]
    at, end = 0, len(payload)
    while open_items and at < end:
        if open_items[-1] == 0:
            open_items.pop()
            continue
        open_items[-1] -= 1
        first = payload[at]
        at += 1
        items = -1
        if 0x80 <= first <= 0x8F:
            items = 2 * (first & 0x0F)
        elif 0x90 <= first <= 0x9F:
            items = first & 0x0F
        elif 0xA0 <= first <= 0xBF:
            at += first & 0x1F
        elif first in _CONTAINERS:
            size, values = _CONTAINERS[first]
            items = values * int.from_bytes(payload[at : at + size], "big")
            at += size
        elif first in _SIZED:
            size = _SIZED[first]
            at += size + int.from_bytes(payload[at : at + size], "big") + (first in _EXTENSIONS)
        else:
            at += _FIXED.get(first, 0)
        if items >= 0:
            open_items.append(items)
            if len(open_items) > limit + 1:
                return True
    return False
