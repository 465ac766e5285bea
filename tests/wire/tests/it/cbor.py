# For each line of the file, CBOR in hex: as JSON; encoded again in the canonical form, with the same
# strings of bytes; with texts; and with texts and without lengths.
import json
import sys

import cbor2


def texts(value):
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, list):
        return [texts(item) for item in value]
    if isinstance(value, dict):
        return {texts(key): texts(item) for key, item in value.items()}
    assert not isinstance(value, str), value
    return value


for line in open(sys.argv[1]):
    # What is in a tag is read as tuples: the tag that all begin with is taken off before.
    tag, item = line[:6], bytes.fromhex(line[6:])
    assert tag == "d9d9f7", tag
    value = cbor2.loads(item)
    as_texts = texts(value)
    print(json.dumps([
        json.dumps(as_texts),
        cbor2.dumps(cbor2.CBORTag(55799, value), canonical=True).hex(),
        cbor2.dumps(as_texts).hex(),
        cbor2.dumps(as_texts, indefinite_containers=True).hex(),
    ]))
