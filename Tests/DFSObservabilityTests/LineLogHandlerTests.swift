import Foundation
import Logging
import Synchronization
import Testing

@testable import DFSObservability

/// Keeps lines instead of writing them.
final class MemorySink: LogSink {
  private let written = Mutex<[String]>([])
  var lines: [String] { written.withLock { $0 } }
  func write(_ line: String) { written.withLock { $0.append(line) } }
}

struct LineLogHandlerTests {
  @TaskLocal static var requestID: String?

  private let sink = MemorySink()

  private func logger(_ format: LineLogHandler.Format, level: Logger.Level = .info) -> Logger {
    let sink = sink
    return Logger(label: "dfs.test") { label in
      LineLogHandler(
        label: label, format: format, level: level, sink: sink,
        metadataProvider: LogSystem.metadataProvider { Self.requestID },
        now: { Date(timeIntervalSince1970: 1_700_000_000.25) })
    }
  }

  @Test func `a text line has time, level, logger, message and sorted metadata`() {
    logger(.text).notice("node is down", metadata: ["node": "00ff", "after": "10 s", "empty": ""])
    #expect(
      sink.lines == [
        "2023-11-14T22:13:20.250Z notice   dfs.test: node is down after=\"10 s\" empty=\"\" node=00ff"
      ])
  }

  @Test func `a JSON line is one object that a parser reads back`() throws {
    logger(.json).error(
      "quote \" backslash \\ line\nbreak \u{1} é",
      metadata: [
        "count": .stringConvertible(42), "yes": .stringConvertible(true), "list": ["a", "b"],
        "map": ["x": "y"], "message": "taken",
      ])
    let line = try #require(sink.lines.first)
    #expect(!line.contains("\n"))
    let object = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
    #expect(object["message"] as? String == "quote \" backslash \\ line\nbreak \u{1} é")
    #expect(object["message_"] as? String == "taken")
    #expect(object["level"] as? String == "error")
    #expect(object["logger"] as? String == "dfs.test")
    #expect(object["time"] as? String == "2023-11-14T22:13:20.250Z")
    #expect(object["count"] as? Int == 42)
    #expect(object["yes"] as? Bool == true)
    #expect(object["list"] as? [String] == ["a", "b"])
    #expect(object["map"] as? [String: String] == ["x": "y"])
  }

  @Test func `text from outside can not forge a line`() {
    logger(.text).info("name\n2026 error forged", metadata: ["path": "a\u{1B}[2J\nb"])
    #expect(sink.lines.count == 1)
    #expect(sink.lines[0].unicodeScalars.allSatisfy { $0.value >= 0x20 })
  }

  @Test func `the request id of the task is on every line of that task`() {
    let logger = logger(.text)
    Self.$requestID.withValue("abc") { logger.info("inside") }
    logger.info("outside")
    #expect(sink.lines.map { $0.contains("request_id=abc") } == [true, false])
  }

  @Test func `levels below the logger's are not written, and each logger has its own`() {
    var quiet = logger(.text, level: .warning)
    let copy = quiet
    quiet.logLevel = .debug
    copy.info("no")
    quiet.debug("yes")
    #expect(sink.lines.count == 1)
  }

  @Test func `the call's metadata wins over the task's and the logger's`() {
    var logger = logger(.text)
    logger[metadataKey: "request_id"] = "logger"
    Self.$requestID.withValue("task") {
      logger.info("a")
      logger.info("b", metadata: ["request_id": "call"])
    }
    #expect(sink.lines[0].hasSuffix("request_id=task"))
    #expect(sink.lines[1].hasSuffix("request_id=call"))
  }

  @Test func `an error of the event is shown`() {
    struct Broken: Error {}
    logger(.text).error("failed", error: Broken())
    #expect(sink.lines[0].contains("error=Broken()"))
  }
}
