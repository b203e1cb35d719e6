import DFSCore
import NIOCore

/// Encodes and decodes the one message that carries file content, so that its payload is never copied: it is
/// written behind the encoded head, and read as a slice of the buffer it arrived in.
///
/// Both streams give `ChunkData` field number 2 of their `oneof`. A message that is anything else, or that
/// is laid out in an unusual but valid way, is left to SwiftProtobuf; a test proves both codecs equal.
enum ChunkPieceCodec {
  private static let dataTag: UInt8 = 0x12
  private static let offsetTag: UInt8 = 0x08
  private static let checksumsTag: UInt8 = 0x12
  private static let leavesTag: UInt8 = 0x1A
  private static let payloadTag: UInt8 = 0x22

  /// Everything of the enclosing message that precedes the payload's bytes.
  static func head(of piece: ChunkPiece) -> ByteBuffer {
    let payload = piece.payload.byteCount
    let checksums = piece.checksums.count * 4
    let leaves = piece.leaves.readableBytes
    var inner = 1 + Varint.size(UInt64(payload)) + payload
    if piece.offset != 0 { inner += 1 + Varint.size(UInt64(piece.offset)) }
    if checksums != 0 { inner += 1 + Varint.size(UInt64(checksums)) + checksums }
    if leaves != 0 { inner += 1 + Varint.size(UInt64(leaves)) + leaves }

    var head = ByteBuffer()
    head.reserveCapacity(minimumWritableBytes: inner - payload + 12)
    head.writeInteger(dataTag)
    Varint.write(UInt64(inner), into: &head)
    if piece.offset != 0 {
      head.writeInteger(offsetTag)
      Varint.write(UInt64(piece.offset), into: &head)
    }
    if checksums != 0 {
      head.writeInteger(checksumsTag)
      Varint.write(UInt64(checksums), into: &head)
      for checksum in piece.checksums { head.writeInteger(checksum, endianness: .little) }
    }
    if leaves != 0 {
      head.writeInteger(leavesTag)
      Varint.write(UInt64(leaves), into: &head)
      head.writeImmutableBuffer(piece.leaves)
    }
    head.writeInteger(payloadTag)
    Varint.write(UInt64(payload), into: &head)
    return head
  }

  /// The piece in `message`, or `nil` when the message is not exactly one `ChunkData` of the usual layout.
  /// Throws `.invalidArgument` when the piece breaks the protocol's rules.
  static func piece(in message: ByteBuffer) throws -> ChunkPiece? {
    var rest = message
    guard rest.readInteger(as: UInt8.self) == dataTag, let length = Varint.read(from: &rest),
      length == UInt64(rest.readableBytes)
    else { return nil }
    var piece = ChunkPiece(offset: 0, checksums: [], leaves: ByteBuffer(), payload: .bytes(ByteBuffer()))
    var lastTag: UInt8 = 0
    while let tag = rest.readInteger(as: UInt8.self) {
      guard tag > lastTag, let value = Varint.read(from: &rest) else { return nil }
      lastTag = tag
      switch tag {
      case offsetTag:
        guard let offset = UInt32(exactly: value) else { return nil }
        piece.offset = offset
      case checksumsTag:
        guard value % 4 == 0, let count = Int(exactly: value / 4), var run = rest.readSlice(length: count * 4)
        else { return nil }
        piece.checksums.reserveCapacity(count)
        while let checksum = run.readInteger(endianness: .little, as: UInt32.self) {
          piece.checksums.append(checksum)
        }
      case leavesTag:
        guard let length = Int(exactly: value), let leaves = rest.readSlice(length: length) else {
          return nil
        }
        piece.leaves = leaves
      case payloadTag:
        guard let length = Int(exactly: value), let payload = rest.readSlice(length: length) else {
          return nil
        }
        piece.payload = .bytes(payload)
      default: return nil
      }
    }
    try validate(piece)
    return piece
  }

  /// The rules that every piece keeps, whoever decoded it.
  static func validate(_ piece: ChunkPiece) throws {
    func refuse(_ why: String) -> DFSError { DFSError(.invalidArgument, "a piece of a chunk \(why)") }
    let payload = piece.payload.byteCount
    guard payload > 0, payload <= ChunkPiece.largestPayload else {
      throw refuse("must carry 1 byte to 1 MiB, not \(payload)")
    }
    guard piece.offset % UInt32(Block.size) == 0 else { throw refuse("must start at a multiple of 64 KiB") }
    guard Int(piece.offset) + payload <= ChunkSize.largest else { throw refuse("ends behind 64 MiB") }
    let blocks = Block.count(of: payload)
    guard piece.checksums.count == blocks else {
      throw refuse("of \(blocks) blocks needs as many checksums, not \(piece.checksums.count)")
    }
    let leaves = piece.leaves.readableBytes
    guard leaves == 0 || leaves == blocks * Digest.byteCount else {
      throw refuse("of \(blocks) blocks needs as many leaves, not \(leaves) bytes of them")
    }
  }
}

/// Protobuf's base-128 numbers.
enum Varint {
  static func size(_ value: UInt64) -> Int { max(1, (64 - value.leadingZeroBitCount + 6) / 7) }

  static func write(_ value: UInt64, into buffer: inout ByteBuffer) {
    var rest = value
    while rest >= 0x80 {
      buffer.writeInteger(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    buffer.writeInteger(UInt8(rest))
  }

  /// `nil` when the bytes end too early or the number does not fit in 64 bits.
  static func read(from buffer: inout ByteBuffer) -> UInt64? {
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 70, by: 7) {
      guard let byte = buffer.readInteger(as: UInt8.self) else { return nil }
      if shift == 63, byte > 1 { return nil }
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return value }
    }
    return nil
  }
}
