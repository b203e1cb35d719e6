import DFSCore
import SwiftProtobuf
import TestSupport
import Testing

@testable import DFSRPC

@Suite struct RPCStatusTests {
  @Test(arguments: DFSError.Code.allCases)
  func `every code of ours comes back exact, with its facts`(code: DFSError.Code) throws {
    let error = DFSError(code, "the file \"ü\" is 100% gone", metadata: ["path": "/ü", "revision": "7"])
    let status = RPCStatus(error)
    let back = try #require(RPCStatus(status.code, status.message, details: status.details).error)
    #expect(back.code == code)
    #expect(back.message == error.message)
    #expect(back.metadata == error.metadata)
  }

  @Test(arguments: RPCStatus.Code.allCases)
  func `a plain status of a foreign peer maps to the nearest code`(code: RPCStatus.Code) {
    let error = RPCStatus(code, "m").error
    #expect((error == nil) == (code == .ok))
    if let error, code != .outOfRange { #expect(error.code.status == code) }
  }

  @Test func `details of another domain, status or reason are not believed`() throws {
    func details(domain: String, reason: String, code: Int32) throws -> [UInt8] {
      var info = Google_Rpc_ErrorInfo()
      info.domain = domain
      info.reason = reason
      info.metadata = ["a": "b"]
      var detail = Google_Rpc_Status.Detail()
      detail.typeURL = "type.googleapis.com/google.rpc.ErrorInfo"
      detail.value = try info.serializedBytes()
      var status = Google_Rpc_Status()
      status.code = code
      status.details = [detail]
      return try status.serializedBytes()
    }
    let good = try details(domain: "dfs", reason: "STALE", code: 10)
    #expect(RPCStatus(.aborted, "", details: good).error?.metadata == ["a": "b"])
    for bad in [
      try details(domain: "other", reason: "STALE", code: 10),
      try details(domain: "dfs", reason: "STALE", code: 9),
      try details(domain: "dfs", reason: "NOT_FOUND", code: 10),
      try details(domain: "dfs", reason: "?", code: 10),
      Array(good.dropLast()), [0xFF], Array(repeating: 0x0A, count: 20_000),
    ] {
      let error = RPCStatus(.aborted, "m", details: bad).error
      #expect(error?.code == .stale)
      #expect(error?.metadata == [:])
    }
  }

  @Test func `random details never crash and never change the code`() {
    var random = SeededGenerator()
    print("seed \(random.seed)")
    let sample = RPCStatus(DFSError(.corrupt, "chunk", metadata: ["chunk": "1.2"]))
    for _ in 0..<5000 {
      var bytes = sample.details
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      if Bool.random(using: &random) { bytes = random.bytes(Int.random(in: 0...64, using: &random)) }
      #expect(RPCStatus(.dataLoss, "m", details: bytes).error?.code == .corrupt)
    }
  }

  @Test func `a large error is cut to what headers may hold`() {
    let facts = Dictionary(
      uniqueKeysWithValues: (0..<500).map { ("fact\($0)", String(repeating: "x", count: $0)) })
    let status = RPCStatus(DFSError(.internal, String(repeating: "é", count: 5000), metadata: facts))
    #expect(status.details.count <= RPCStatus.largestDetails)
    #expect(StatusMessage.encode(status.message).utf8.count <= 3 * StatusMessage.longest)
    #expect(status.error?.metadata.isEmpty == false)
  }

  @Test func `an unforeseen error keeps its text to itself`() {
    struct Secret: Error {}
    let status = RPCStatus(wrapping: Secret())
    #expect(status.code == .internal)
    #expect(!status.message.contains("Secret"))
    #expect(RPCStatus(wrapping: CancellationError()).code == .cancelled)
  }

  @Test(arguments: [
    ("0", RPCStatus.Code.ok), ("14", .unavailable), ("17", .unknown), ("-1", .unknown), ("", .unknown),
    ("1000", .unknown), ("99999999999999999999", .unknown), ("x", .unknown),
  ])
  func `a status header nobody knows means unknown`(text: String, code: RPCStatus.Code) {
    #expect(RPCStatus.code(header: text) == code)
  }

  @Test(arguments: ["", "plain text", "100%", "ü, 世界, \u{0}\n", "%41", "a%2"])
  func `a message survives its encoding`(message: String) {
    let encoded = StatusMessage.encode(message)
    #expect(encoded.utf8.allSatisfy { (0x20...0x7E).contains($0) })
    #expect(StatusMessage.decode(encoded) == message)
  }

  @Test(arguments: [
    ("%", "%"), ("%4", "%4"), ("%zz%41", "%zzA"), ("%C3%BC", "ü"), ("%c3%bc", "ü"), ("%FF", "\u{FFFD}"),
    ("a%2", "a%2"),
  ])
  func `a malformed escape stays as it is`(text: String, expected: String) {
    #expect(StatusMessage.decode(text) == expected)
  }

  @Test func `a long message is cut between characters`() {
    let message = String(repeating: "👨‍👩‍👧‍👦", count: 200)
    let cut = StatusMessage.decode(StatusMessage.encode(message))
    #expect(cut.utf8.count <= StatusMessage.longest)
    #expect(cut.dropLast().allSatisfy { $0 == "👨‍👩‍👧‍👦" })
    #expect(cut.last == "…")
  }
}
