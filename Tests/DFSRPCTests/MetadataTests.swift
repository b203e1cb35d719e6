import DFSCore
import TestSupport
import Testing

@testable import DFSRPC

@Suite struct MetadataTests {
  @Test func `values under one name keep their order`() throws {
    var metadata = Metadata()
    try metadata.append("one", for: "x-a")
    try metadata.append("other", for: "x-b")
    try metadata.append("two", for: "x-a")
    #expect(metadata.values(for: "x-a") == [.text("one"), .text("two")])
    #expect(metadata["x-a"] == "one")
    #expect(metadata["x-c"] == nil)
    #expect(metadata.size == 3 * (3 + 32) + 3 + 5 + 3)
    metadata.removeAll(named: "x-a")
    #expect(metadata.count == 1)
    #expect(metadata.size == 3 + 32 + 5)
  }

  @Test(arguments: ["", "X-Upper", "a b", "grpc-timeout", ":path", "te", "content-type", "ü", "a\u{0}"])
  func `a name that can not be sent is refused`(name: String) {
    var metadata = Metadata()
    #expect(throws: DFSError.self) { try metadata.append("v", for: name) }
    #expect(metadata.isEmpty)
  }

  @Test(arguments: ["tab\t", "naïve", "line\n", " leading", "trailing ", "\u{7F}"])
  func `a text that would not arrive as it was sent is refused`(text: String) {
    var metadata = Metadata()
    #expect(throws: DFSError.self) { try metadata.append(text, for: "x") }
  }

  @Test func `bytes need a name in -bin and text any other`() {
    var metadata = Metadata()
    #expect(throws: DFSError.self) { try metadata.append(binary: [1], for: "x") }
    #expect(throws: DFSError.self) { try metadata.append("text", for: "x-bin") }
  }

  @Test func `metadata of any bytes comes back from its fields`() throws {
    var random = SeededGenerator()
    print("seed \(random.seed)")
    for _ in 0..<200 {
      var sent = Metadata()
      for _ in 0..<Int.random(in: 0...6, using: &random) {
        let name = ["a", "b-c", "d.e_f"].randomElement(using: &random) ?? "a"
        if Bool.random(using: &random) {
          try sent.append(binary: random.bytes(Int.random(in: 0...70, using: &random)), for: name + "-bin")
        } else {
          let text = random.bytes(Int.random(in: 0...40, using: &random)).map { 0x21 + $0 % 0x5E }
          try sent.append(String(decoding: text, as: UTF8.self), for: name)
        }
      }
      var received = Metadata()
      var size = 0
      var failure: (any Error)?
      sent.forEachField { name, value in
        size += name.utf8.count + value.utf8.count + 32
        do { try received.appendField(name: name, value: value) } catch { failure = error }
      }
      #expect(failure == nil)
      #expect(received == sent)
      #expect(sent.size == size)
    }
  }

  @Test func `a peer may join binary values with commas and pad them`() throws {
    var metadata = Metadata()
    try metadata.appendField(name: "x-bin", value: "AQI=,AQI,,AQID")
    #expect(
      metadata.values(for: "x-bin") == [.binary([1, 2]), .binary([1, 2]), .binary([]), .binary([1, 2, 3])])
  }

  @Test(arguments: ["A", "AQ=", "AR", "A*ID", "AQI==", "====", "A===", "AQ I", "=", "AQ==AQ=="])
  func `what is no base64 is refused`(text: String) {
    var metadata = Metadata()
    #expect(throws: DFSError.self) { try metadata.appendField(name: "x-bin", value: text) }
  }

  @Test func `fields of the protocol are no metadata`() throws {
    var metadata = Metadata()
    for name in [":path", "grpc-timeout", "te", "content-type", "user-agent"] {
      try metadata.appendField(name: name, value: "x")
    }
    #expect(metadata.isEmpty)
  }

  @Test func `blanks around a peer's text are dropped`() throws {
    var metadata = Metadata()
    try metadata.appendField(name: "a", value: " \tx y ")
    try metadata.appendField(name: "b", value: "  ")
    #expect(metadata["a"] == "x y")
    #expect(metadata["b"] == "")
  }

  @Test func `metadata is bounded`() throws {
    var metadata = Metadata()
    let text = String(repeating: "x", count: 1000)
    for _ in 0..<15 { try metadata.append(text, for: "a") }
    #expect(throws: DFSError.self) {
      for _ in 0..<2 { try metadata.append(text, for: "a") }
    }
    #expect(metadata.size <= Metadata.largestSize)
    let other = metadata
    #expect(throws: DFSError.self) { try metadata.append(other) }
  }
}
