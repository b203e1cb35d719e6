import DFSCore
import Foundation
import TestSupport
import Testing

@testable import DFSRPC

/// Everything here reads what a peer sends, so nothing of any content may crash it. Random inputs begin with
/// those that are kept in `Corpus`, one per line: add what once failed.
@Suite struct ForeignBytesTests {
  /// Lines of `Corpus/name`, with `\xNN` for a byte.
  private static func corpus(_ name: String) -> [[UInt8]] {
    let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().path + "/Corpus/\(name)"
    guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return [] }
    return text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
      var bytes: [UInt8] = []
      var rest = Array(line.utf8)[...]
      while let byte = rest.popFirst() {
        if byte == UInt8(ascii: "\\"), rest.first == UInt8(ascii: "x"),
          let value = UInt8(String(decoding: rest.dropFirst().prefix(2), as: UTF8.self), radix: 16)
        {
          bytes.append(value)
          rest = rest.dropFirst(3)
        } else {
          bytes.append(byte)
        }
      }
      return bytes
    }
  }

  /// The corpus, mutations of it, and noise.
  private func inputs(_ name: String, _ count: Int) -> [[UInt8]] {
    var random = SeededGenerator()
    print("seed \(random.seed)")
    let known = Self.corpus(name)
    #expect(!known.isEmpty, "the corpus \(name) is missing")
    return known
      + (0..<count).map { _ in
        var bytes = known.randomElement(using: &random) ?? []
        switch Int.random(in: 0..<4, using: &random) {
        case 0: bytes = random.bytes(Int.random(in: 0...40, using: &random))
        case 1: bytes.removeLast(Int.random(in: 0...bytes.count, using: &random))
        case 2:
          bytes.insert(
            UInt8.random(in: 0...255, using: &random), at: Int.random(in: 0...bytes.count, using: &random))
        default:
          if !bytes.isEmpty {
            bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
          }
        }
        return bytes
      }
  }

  @Test func `a metadata field is taken as it can be sent again, or refused`() {
    for bytes in inputs("metadata", 20_000) {
      let parts = bytes.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
      let name = String(decoding: parts[0], as: UTF8.self)
      let value = String(decoding: parts.count > 1 ? parts[1] : [], as: UTF8.self)
      var metadata = Metadata()
      do { try metadata.appendField(name: name, value: value) } catch {
        #expect((error as? DFSError)?.code == .invalidArgument)
        continue
      }
      var again = Metadata()
      metadata.forEachField { name, value in
        do { try again.appendField(name: name, value: value) } catch { Issue.record("\(bytes): \(error)") }
      }
      #expect(again == metadata)
    }
  }

  @Test func `a timeout is read as it is written, or refused`() {
    for bytes in inputs("timeouts", 20_000) {
      let text = String(decoding: bytes, as: UTF8.self)
      guard let timeout = try? RPCTimeout.decode(text) else { continue }
      #expect(timeout >= .zero)
      guard let again = try? RPCTimeout.decode(RPCTimeout.encode(timeout)) else {
        Issue.record("\(text) can not be written")
        continue
      }
      // Rounded up to eight digits.
      #expect(again >= timeout && again <= timeout + timeout / 1_000_000 + .nanoseconds(1), "\(text)")
    }
  }

  @Test func `any status message decodes, and what was decoded survives another round`() {
    for bytes in inputs("messages", 20_000) {
      let message = StatusMessage.decode(String(decoding: bytes, as: UTF8.self))
      #expect(StatusMessage.decode(StatusMessage.encode(message)) == message)
    }
  }
}
