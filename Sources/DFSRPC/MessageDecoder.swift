import DFSCore
import DFSTransport
import NIOCore

/// Cuts a stream of bytes into gRPC messages: a flag byte, four bytes of length, the message. Every message has a
/// buffer of its own, so that a small message does not keep a large receive buffer alive. Bytes are copied there,
/// unless whoever receives them has put them into the `room` already.
struct MessageDecoder {
  struct Message {
    var bytes: ByteBuffer
    var isCompressed: Bool
  }

  static let prefixLength = 5
  /// Memory is set aside for so much of an announced length at once; the rest as it arrives. Above the largest piece
  /// of a chunk, which would be copied when it outgrows its buffer.
  private static let trustedLength = 2 << 20
  /// A message of so many bytes is laid so that its last byte is the last of a page: what ends it, and has the length
  /// of whole pages, as the payload of a piece of a chunk, then begins at one and can go to the disk from here.
  private static let alignedLengths = 64 << 10...trustedLength - Page.size

  private let limit: Int
  private var prefix: UInt64 = 0
  private var prefixCount = 0
  private var body = ByteBuffer()
  private var missing = 0

  init(limit: Int) { self.limit = limit }

  /// Whether no message is half received.
  var isAtBoundary: Bool { prefixCount == 0 }

  /// Calls `emit` with every message that `bytes` complete. Throws `.exhausted` for a message over the
  /// limit and `.invalidArgument` for an unknown flag; the decoder is of no use afterwards.
  mutating func decode(_ bytes: UnsafeRawBufferPointer, _ emit: (Message) -> Void) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      if prefixCount < Self.prefixLength {
        prefix = prefix << 8 | UInt64(rest.removeFirst())
        prefixCount += 1
        guard prefixCount == Self.prefixLength else { continue }
        try begin()
      } else {
        let count = min(missing, rest.count)
        take(UnsafeRawBufferPointer(rebasing: rest.prefix(count)))
        rest = rest.dropFirst(count)
        missing -= count
      }
      if missing == 0, prefixCount == Self.prefixLength {
        emit(Message(bytes: body, isCompressed: prefix >> 32 == 1))
        body = ByteBuffer()
        prefixCount = 0
        prefix = 0
      }
    }
  }

  /// Where the next bytes of the message that is half received belong.
  var room: ReceiveRoom? {
    let count = min(missing, body.writableBytes)
    guard prefixCount == Self.prefixLength, count > 0 else { return nil }
    // SAFETY: this part of the storage is allocated and nobody reads it: `take` moves the end of the buffer over
    // what was written there, and the buffer is given away only when it is complete.
    return body.withVeryUnsafeBytes { storage in
      let end = UnsafeMutableRawBufferPointer(mutating: storage)[body.writerIndex..<body.writerIndex + count]
      return ReceiveRoom(UnsafeMutableRawBufferPointer(rebasing: end), of: body)
    }
  }

  private mutating func take(_ bytes: UnsafeRawBufferPointer) {
    guard let room, bytes.count <= room.bytes.count else {
      // Beyond the memory that was set aside.
      _ = body.writeBytes(bytes)
      return
    }
    // Not by `writeBytes`: whoever was given the room may still hold the buffer, which would then be copied.
    if room.bytes.baseAddress != UnsafeMutableRawPointer(mutating: bytes.baseAddress) {
      room.bytes.copyMemory(from: bytes)
    }
    body.moveWriterIndex(forwardBy: bytes.count)
  }

  private mutating func begin() throws {
    let length = Int(prefix & 0xFFFF_FFFF)
    guard prefix >> 32 <= 1 else {
      throw DFSError(.invalidArgument, "a message begins with an unknown flag: these bytes are no gRPC")
    }
    guard length <= limit else {
      throw DFSError(
        .exhausted, "a message of \(ByteCount(length)) is over the limit of \(ByteCount(limit))",
        metadata: ["limit": "\(limit)"])
    }
    missing = length
    guard length > 0 else { return }
    let isAligned = Self.alignedLengths.contains(length)
    body = ByteBufferAllocator().buffer(
      capacity: min(length, Self.trustedLength) + (isAligned ? Page.size : 0))
    guard isAligned else { return }
    let start = body.withVeryUnsafeBytes { Page.distance(from: $0.baseAddress?.advanced(by: length)) }
    body.moveWriterIndex(to: start)
    body.moveReaderIndex(to: start)
  }
}
