import DFSCore
import DFSRPC
import DFSTransport
import NIOCore
import Testing

@Suite(.timeLimit(.minutes(1)))
struct `Calls over a real socket` {
  @Test func `a unary call brings back what it sent`() async throws {
    try await Loopback.run { loopback in
      for size in [0, 1, 5, 100, 16_384, 70_000, 3 << 20] {
        let request = ByteBuffer.pattern(size)
        let response = try await loopback.connection.call(Echo.unary, request, options: Loopback.options())
        #expect(response == request)
      }
    }
  }

  @Test func `messages of every size come whole, of many calls at once and beside calls that are cancelled`()
    async throws
  {
    try await Loopback.run { loopback in
      try await withThrowingTaskGroup(of: Void.self) { group in
        for number in 0..<60 {
          group.addTask {
            let request = ByteBuffer.pattern(number * number * 700 + number, seed: number)
            if number % 5 == 4 {
              let call = Task {
                try await loopback.connection.call(Echo.unary, request, options: Loopback.options())
              }
              try await Task.sleep(for: .milliseconds(number / 4))
              call.cancel()
              _ = await call.result
            } else {
              let response = try await loopback.connection.call(
                Echo.unary, request, options: Loopback.options())
              #expect(response == request)
            }
          }
        }
        try await group.waitForAll()
      }
    }
  }

  @Test func `a server stream arrives whole and in order`() async throws {
    try await Loopback.run { loopback in
      let request = ByteBuffer.pattern(1000)
      let count = try await loopback.connection.call(Echo.split, request, options: Loopback.options()) {
        reader in
        var count = 0
        while let message = try await reader.next() {
          #expect(message == request)
          count += 1
        }
        return count
      }
      #expect(count == 1000)
    }
  }

  @Test func `a client stream is summed up`() async throws {
    try await Loopback.run { loopback in
      let response = try await loopback.connection.call(Echo.total, options: Loopback.options()) { writer in
        for size in 0..<300 { try await writer.write(.pattern(size * 100)) }
      }
      #expect(String(buffer: response) == String((0..<300).reduce(0) { $0 + $1 * 100 }))
    }
  }

  @Test func `a chat answers every message before the next`() async throws {
    try await Loopback.run { loopback in
      try await loopback.connection.call(Echo.chat, options: Loopback.options()) { writer, reader in
        for number in 0..<200 {
          try await writer.write(.pattern(number, seed: number))
          #expect(try await reader.next() == .pattern(number, seed: number))
        }
        try await writer.finish()
        #expect(try await reader.next() == nil)
      }
    }
  }

  @Test func `an error comes back with its code, message and facts`() async throws {
    try await Loopback.run { loopback in
      for code in DFSError.Code.allCases {
        let error = await #expect(throws: DFSError.self) {
          try await loopback.connection.call(
            Echo.failure, ByteBuffer(string: code.rawValue), options: Loopback.options())
        }
        #expect(error?.code == code)
        #expect(error?.message == "failed as asked: 100 % “sure”")
        #expect(error?.metadata == ["path": "/a/ü"])
      }
    }
  }
}
