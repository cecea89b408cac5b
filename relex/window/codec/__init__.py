"""The codec of the window store: snapshots as small files that give back every bit.

Interface
---------
Everything reads tensors through `Snapshot`: `tensors` (name to TensorInfo) and
`read(name, start, stop)`. A Checkpoint and a TensorFile are snapshots as they are; `CastSnapshot`
makes a bfloat16 base the start of a float32 window.

    write_delta(path, current, previous)     one delta file; `previous=None` makes an anchor
    delta = DeltaFile(store, key)            opens one: tensors, num_changed(name)
    delta.decode(name, start, elements)      turns the elements before into these, in place
    delta.check(name, start, elements)       compares all elements with their checksums
    decode_blocks(blocks, width_bytes)       what blocks of any steps add to the patterns before

A chain is replayed by decoding one file after the other into the same elements, from an anchor or
from those of the base: that makes every step in turn, decodes each file once, and touches only what
changed. Read whole blocks (`delta.block_elements`).

Faults raise WindowError with file and tensor: a stream that is damaged, of another length than its
table says or than fits the tensor, positions outside of it, or a previous snapshot that is not the
one encoded against. Sizes are checked before memory is taken. The files carry checksums against
accidents, not against forgery: for that, compare a file's sha256 with the manifest's.

Format
------
A safetensors file with one uint8 entry per tensor of the snapshot, of the tensor's name: the
streams of its blocks, each as it is or one zstd frame. The metadata hold `format`, a JSON `table`
with dtype, shape and blocks of every tensor (`block.BlockFacts`), and the table's crc32. A block is
2^20 neighbouring elements of the flattened tensor; positions count from the block's start, so
tensors of any size have one format. The streams of each kind of block are described in `block`.

New values are stored as the distance of their bit pattern from the old one, not as absolute values,
which would take twice the bytes. Distances are integers, so nothing rounds; they are added without
knowing the old value, so steps are decoded in any order. A snapshot before that is not the one
encoded against is an error and never a drift: a step's streams have a digest, and its elements a
checksum, which is compared at the end of a replay.
"""

from relex.window.codec.block import Change, EncodedBlock, decode_blocks, encode_block
from relex.window.codec.delta_file import DeltaFile
from relex.window.codec.delta_writer import write_delta
from relex.window.codec.snapshot import CastSnapshot, Snapshot, block_spans
