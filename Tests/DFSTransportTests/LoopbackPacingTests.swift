import Glibc
import Testing

@testable import DFSTransport

struct `Pacing over loopback` {
  private func congestionControl(of socket: CInt) -> String {
    var name = [CChar](repeating: 0, count: 16)
    var length = socklen_t(name.count)
    getsockopt(socket, CInt(IPPROTO_TCP), TCP_CONGESTION, &name, &length)
    return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// Whether the socket took the choice: a kernel may not have it, or not let us.
  private static func choose(_ control: String, for socket: CInt) -> Bool {
    setsockopt(socket, CInt(IPPROTO_TCP), TCP_CONGESTION, control, socklen_t(control.utf8.count)) == 0
  }

  private static func isAvailable(_ control: String) -> Bool {
    let socket = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
    defer { close(socket) }
    return choose(control, for: socket)
  }

  private func chosen(after control: String) -> String {
    let socket = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
    defer { close(socket) }
    #expect(Self.choose(control, for: socket))
    LoopbackPacing.turnOff(socket)
    return congestionControl(of: socket)
  }

  @Test(.enabled(if: isAvailable("bbr"))) func `BBR is replaced`() { #expect(chosen(after: "bbr") == "reno") }

  @Test func `what does not pace stays`() { #expect(chosen(after: "reno") == "reno") }

  @Test(.enabled(if: isAvailable("cubic"))) func `CUBIC stays`() {
    #expect(chosen(after: "cubic") == "cubic")
  }

  @Test func `something that is no TCP socket stays as it is`() { LoopbackPacing.turnOff(-1) }
}
