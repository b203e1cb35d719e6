import DFSTransport
import NIOCore

/// Answers a request that is no gRPC, in plain HTTP, when its body is complete or long enough.
///
/// Answering at once, while the body is still on its way, resets the stream under the client, and curl then
/// shows an error instead of the answer.
final class HTTPRefusal: HTTP2StreamDelegate {
  /// A longer body is cut off by the answer.
  private static let patience = 64 << 10

  private let stream: HTTP2Stream
  private let headers: HeaderList
  private let text: String
  private let isHead: Bool
  private var received = 0
  private var hasAnswered = false

  init(_ stream: HTTP2Stream, _ headers: HeaderList, _ text: String, isHead: Bool) {
    self.stream = stream
    self.headers = headers
    self.text = text
    self.isHead = isHead
  }

  func answer() {
    guard !hasAnswered else { return }
    hasAnswered = true
    stream.respond(headers, isEnd: isHead)
    guard !isHead else { return }
    stream.send(.buffer(ByteBuffer(string: text)))
    stream.finish()
  }

  func streamReceived(_ headers: HeaderBlock, isEnd: Bool) { if isEnd { answer() } }

  func streamReceived(_ bytes: UnsafeRawBufferPointer) {
    stream.received(bytes.count)
    received += bytes.count
    if received > Self.patience { answer() }
  }

  var room: ReceiveRoom? { nil }
  func streamEnded() { answer() }
  func streamSent(_ count: Int) {}
  func streamClosed(_ closure: StreamClosure) {}
  var isStarving: Bool { !hasAnswered }
}
