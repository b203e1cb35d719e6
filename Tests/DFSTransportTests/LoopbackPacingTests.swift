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

  private func withSocket(_ control: String, _ body: (CInt) -> Void) {
    let socket = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
    defer { close(socket) }
    // A kernel without it, or one that does not let us, has no such case.
    guard setsockopt(socket, CInt(IPPROTO_TCP), TCP_CONGESTION, control, socklen_t(control.utf8.count)) == 0
    else { return }
    body(socket)
  }

  @Test func `BBR is replaced`() {
    withSocket("bbr") {
      LoopbackPacing.turnOff($0)
      #expect(congestionControl(of: $0) == "reno")
    }
  }

  @Test(arguments: ["cubic", "reno"]) func `what does not pace stays`(control: String) {
    withSocket(control) {
      LoopbackPacing.turnOff($0)
      #expect(congestionControl(of: $0) == control)
    }
  }

  @Test func `something that is no TCP socket stays as it is`() { LoopbackPacing.turnOff(-1) }
}
