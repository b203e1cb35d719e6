import CNghttp2
import DFSCore
import Glibc
package import NIOCore

/// Memory where the next bytes of a message belong: the socket may write them there, and nobody copies them.
package struct ReceiveRoom {
  /// Where they belong, and how many are missing.
  package let bytes: UnsafeMutableRawBufferPointer
  /// Keeps the memory.
  let owner: ByteBuffer

  package init(_ bytes: UnsafeMutableRawBufferPointer, of owner: ByteBuffer) {
    self.bytes = bytes
    self.owner = owner
  }
}

/// The DATA frame whose payload is arriving.
struct ArrivingFrame {
  var stream: Int32 = 0
  /// Payload that has still to come. It may be too high after a reset in the middle of the frame: it says how much
  /// to read at once, not what the bytes are.
  var rest = 0

  init() {}

  init(_ header: nghttp2_frame_hd) {
    let isPlainData =
      header.type == UInt8(NGHTTP2_DATA.rawValue) && header.flags & UInt8(NGHTTP2_FLAG_PADDED.rawValue) == 0
    stream = header.stream_id
    rest = isPlainData ? header.length : 0
  }
}

/// From the socket to nghttp2.
///
/// The channel reads a little, `channelBuffer`, into a buffer of its own. When that ends in the middle of a large
/// message, the session goes on by itself: it reads the rest of the frame to where the message keeps it, together
/// with the header of the next frame. nghttp2 is given every byte in order, wherever it was read to, and a message
/// takes only what nghttp2 says is its payload.
extension HTTP2Session {
  /// What a channel without TLS reads at once. What is left of a message after it goes to its place directly.
  private static let channelBuffer = 16 << 10
  /// A room smaller than this is not worth a system call of its own.
  private static let smallestRoom = 8 << 10
  /// What one connection may read directly before the loop turns to the others.
  static let directBound = 1 << 20

  /// Buffers for the channel's own reads. A channel with TLS has no others, and reads what it can get.
  static func channelBuffers(isPlain: Bool) -> FixedSizeRecvByteBufferAllocator {
    FixedSizeRecvByteBufferAllocator(capacity: isPlain ? channelBuffer : 256 << 10)
  }

  /// Gives nghttp2 what was received.
  func feed(_ bytes: UnsafeRawBufferPointer) {
    isInCallback = true
    let count = nghttp2_session_mem_recv(
      handle, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count)
    isInCallback = false
    TransportMetrics.received.increment(by: bytes.count)
    if count < 0 { refuse(Int32(count)) }
  }

  /// Reads what the socket has for messages that are half received.
  func receiveDirectly(_ context: ChannelHandlerContext) {
    guard isPlain, room != nil else { return }
    // A channel that is closed has no socket, and one without a socket is no matter either: the channel reads on.
    _ = try? context.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) {
      while directRest > 0, let room, receive(from: $0, to: room) {}
    }
  }

  /// Where the rest of the frame that is arriving belongs.
  private var room: ReceiveRoom? {
    guard arrivingFrame.rest >= Self.smallestRoom, !isDead, failure == nil,
      let room = streams[arrivingFrame.stream]?.delegate?.room, room.bytes.count >= Self.smallestRoom
    else { return nil }
    return room
  }

  /// Reads once. Gives whether the socket may have more. That it has ended, the channel finds out.
  private func receive(from socket: NIOBSDSocket.Handle, to room: ReceiveRoom) -> Bool {
    let start = room.bytes.prefix(arrivingFrame.rest)
    return withUnsafeTemporaryAllocation(byteCount: 1 << 10, alignment: 16) { next in
      let (count, error) = withUnsafeTemporaryAllocation(of: iovec.self, capacity: 2) { parts in
        parts[0] = iovec(iov_base: start.base, iov_len: start.count)
        parts[1] = iovec(iov_base: next.baseAddress, iov_len: next.count)
        let count = readv(socket, parts.baseAddress, 2)
        return (count, errno)
      }
      guard count > 0 else {
        if count < 0, error != EAGAIN, error != EINTR { failed(error) }
        return false
      }
      directRest -= count
      withExtendedLifetime(room.owner) {
        feed(UnsafeRawBufferPointer(rebasing: start.prefix(count)))
      }
      if count > start.count, !isDead, failure == nil {
        feed(UnsafeRawBufferPointer(rebasing: next.prefix(count - start.count)))
      }
      return count == start.count + next.count
    }
  }
}

extension HTTP2Session {
  /// The socket tells an error once; the channel would see no more than an end.
  private func failed(_ number: Int32) {
    failure =
      failure
      ?? DFSError(
        .unavailable, "the connection to \(peer) broke", cause: IOError(errnoCode: number, reason: "readv"))
  }
}

extension Slice<UnsafeMutableRawBufferPointer> {
  fileprivate var base: UnsafeMutableRawPointer? { UnsafeMutableRawBufferPointer(rebasing: self).baseAddress }
}
