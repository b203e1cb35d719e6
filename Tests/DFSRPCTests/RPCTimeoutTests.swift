import DFSCore
import TestSupport
import Testing

@testable import DFSRPC

@Suite struct RPCTimeoutTests {
  @Test(arguments: [
    ("1H", Duration.seconds(3600)), ("2M", .seconds(120)), ("3S", .seconds(3)), ("4m", .milliseconds(4)),
    ("5u", .microseconds(5)), ("6n", .nanoseconds(6)), ("99999999n", .nanoseconds(99_999_999)), ("0S", .zero),
  ])
  func `a timeout has digits and a unit`(text: String, expected: Duration) throws {
    #expect(try RPCTimeout.decode(text) == expected)
  }

  @Test(arguments: ["", "1", "S", "123456789S", "-1S", "+1S", "1s", "1 S", "1.5S", "٣S", "0x1S", "1HH"])
  func `anything else is refused`(text: String) {
    #expect(throws: DFSError.self) { try RPCTimeout.decode(text) }
  }

  @Test(arguments: [
    (Duration.zero, "0n"), (.seconds(-1), "0n"), (.nanoseconds(1), "1n"), (.seconds(1), "1000000u"),
    (.milliseconds(99), "99000000n"), (.seconds(3600), "3600000m"),
    (Duration(secondsComponent: 0, attosecondsComponent: 1), "1n"),
    (.seconds(100_000), "100000S"), (.seconds(99_999_998), "99999998S"), (.seconds(100_000_000), "1666667M"),
    (.seconds(Int64.max), "99999999H"),
  ])
  func `a timeout is written in the finest unit that fits`(timeout: Duration, expected: String) {
    #expect(RPCTimeout.encode(timeout) == expected)
  }

  @Test func `a written timeout is never shorter and hardly longer`() throws {
    var random = SeededGenerator()
    print("seed \(random.seed)")
    for _ in 0..<5000 {
      let magnitude = Double.random(in: -9...11, using: &random)
      let seconds = Double(10).raised(to: magnitude)
      let timeout = Duration.seconds(seconds)
      let text = RPCTimeout.encode(timeout)
      #expect(text.utf8.count <= 9)
      let read = try RPCTimeout.decode(text)
      #expect(read >= timeout, "\(text) for \(timeout)")
      #expect(read <= timeout + timeout / 1000 + .nanoseconds(1), "\(text) for \(timeout)")
    }
  }
}

extension Double {
  fileprivate func raised(to exponent: Double) -> Double {
    // Ten to a power, without Foundation: whole steps, then a linear rest; exactness does not matter here.
    var result = self < 0 ? 0 : 1.0
    var rest = exponent.magnitude
    while rest >= 1 {
      result *= self
      rest -= 1
    }
    result *= 1 + rest * (self - 1)
    return exponent < 0 ? 1 / result : result
  }
}
