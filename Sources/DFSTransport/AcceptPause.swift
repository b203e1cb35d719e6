import Glibc
import Logging
import NIOCore

/// Stops accepting for a moment when the process has no descriptors left. The kernel would report the waiting
/// connection again and again, and the loop would do nothing else.
final class AcceptPause: ChannelInboundHandler {
  typealias InboundIn = any Channel

  private static let pause = TimeAmount.milliseconds(200)
  private let logger: Logger
  private var isPaused = false

  init(logger: Logger) { self.logger = logger }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    guard let error = error as? IOError, [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(error.errnoCode) else {
      return context.fireErrorCaught(error)
    }
    guard !isPaused else { return }
    isPaused = true
    logger.error("no connection can be accepted for a while", metadata: ["reason": "\(error)"])
    // Setting an option of an open channel does not fail; a closed one has nothing to pause.
    try? context.channel.syncOptions?.setOption(.autoRead, value: false)
    context.eventLoop.assumeIsolated().scheduleTask(in: Self.pause) {
      self.isPaused = false
      try? context.channel.syncOptions?.setOption(.autoRead, value: true)
    }
  }
}
