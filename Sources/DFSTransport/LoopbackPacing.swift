import Glibc
import NIOCore

/// Takes pacing off connections that do not leave the machine.
///
/// Where BBR is the system's congestion control, the kernel sends every packet by a timer at the rate it believes the
/// path to have. Loopback is no path: there the timers and the wake-ups they cause cost more than the copying, 0.4 of
/// 1.7 CPU seconds for a verified GiB. Between machines the system's choice stands.
package enum LoopbackPacing {
  /// Call it before the socket connects or listens: the kernel never takes the pacing off a connection. What is
  /// accepted on a listening socket inherits its choice. A socket that refuses keeps what it has.
  package static func turnOff(_ socket: CInt) {
    var name = [CChar](repeating: 0, count: 16)
    var length = socklen_t(name.count)
    guard getsockopt(socket, CInt(IPPROTO_TCP), TCP_CONGESTION, &name, &length) == 0,
      name.prefix(3).elementsEqual("bbr".utf8.map { CChar($0) })
    else { return }
    // Every Linux has it, and lets every user choose it.
    _ = setsockopt(socket, CInt(IPPROTO_TCP), TCP_CONGESTION, "reno", 4)
  }

  /// The same for a channel that will connect to, or listen on, a loopback address.
  static func turnOff(on channel: any Channel) throws {
    try channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) {
      turnOff($0)
    }
  }
}
