import DFSCore
import DFSRPC
import NIOCore
import SwiftProtobuf
import Synchronization

typealias EchoRequest = Dfs_Interop_EchoRequest
typealias EchoResponse = Dfs_Interop_EchoResponse

extension Marshaller where Message: SwiftProtobuf.Message {
  static var protobuf: Marshaller {
    Marshaller(
      encode: { message in
        let bytes: [UInt8] = try message.serializedBytes()
        return OutgoingMessage(head: ByteBuffer(bytes: bytes))
      },
      decode: { buffer in
        do {
          return try Message(serializedBytes: Array(buffer.readableBytesView))
        } catch {
          throw DFSError(.invalidArgument, "the message is no \(Message.protoMessageName)", cause: error)
        }
      })
  }
}

enum EchoMethods {
  static let unary = UnaryMethod<EchoRequest, EchoResponse>(
    path: "/dfs.interop.Echo/Unary", retry: .whenSafe, request: .protobuf, response: .protobuf)
  /// The same method, as one that must not be sent twice.
  static let unsafeUnary = UnaryMethod<EchoRequest, EchoResponse>(
    path: "/dfs.interop.Echo/Unary", retry: .never, request: .protobuf, response: .protobuf)
  static let expand = ServerStreamingMethod<EchoRequest, EchoResponse>(
    path: "/dfs.interop.Echo/Expand", retry: .whenSafe, request: .protobuf, response: .protobuf)
  static let collect = ClientStreamingMethod<EchoRequest, EchoResponse>(
    path: "/dfs.interop.Echo/Collect", retry: .never, request: .protobuf, response: .protobuf)
  static let chat = BidirectionalMethod<EchoRequest, EchoResponse>(
    path: "/dfs.interop.Echo/Chat", retry: .never, request: .protobuf, response: .protobuf)
  static let statistics = UnaryMethod<Dfs_Interop_StatisticsRequest, Dfs_Interop_StatisticsResponse>(
    path: "/dfs.interop.Echo/Statistics", retry: .whenSafe, request: .protobuf, response: .protobuf)
}

/// Our server's side of `interop.proto`.
final class EchoService: Sendable {
  private let started = Atomic(0)
  private let cancelled = Atomic(0)

  var cancelledCount: Int { cancelled.load(ordering: .relaxed) }

  func register(in router: inout RPCRouter) {
    router.handle(EchoMethods.unary) { [self] request, context in
      try await counted {
        try await pause(request)
        try end(request)
        return Self.answer(request, context, 0)
      }
    }
    router.handle(EchoMethods.expand) { [self] request, writer, context in
      try await counted {
        for number in 0..<max(0, Int64(request.count)) {
          try await pause(request)
          try await writer.write(Self.answer(request, context, number))
        }
        try end(request)
      }
    }
    router.handle(EchoMethods.collect) { [self] reader, context in
      try await counted {
        var answer = EchoResponse()
        while let request = try await reader.next() {
          try await pause(request)
          answer.total += Int64(request.payload.count)
          answer.messages += 1
          try end(request)
        }
        return answer
      }
    }
    router.handle(EchoMethods.chat) { [self] reader, writer, context in
      try await counted {
        var count: Int64 = 0
        while let request = try await reader.next() {
          for _ in 0..<max(1, request.count) {
            try await pause(request)
            try await writer.write(Self.answer(request, context, count))
            count += 1
          }
          try end(request)
        }
      }
    }
    router.handle(EchoMethods.statistics) { [self] _, _ in
      .with {
        $0.started = Int64(started.load(ordering: .relaxed))
        $0.cancelled = Int64(cancelledCount)
      }
    }
  }

  private func counted<Result>(_ body: () async throws -> Result) async throws -> Result {
    started.add(1, ordering: .relaxed)
    do { return try await body() } catch {
      if Task.isCancelled { cancelled.add(1, ordering: .relaxed) }
      throw error
    }
  }

  private func pause(_ request: EchoRequest) async throws {
    guard request.delayMs != 0 else { return }
    try await Task.sleep(for: request.delayMs < 0 ? .seconds(3600) : .milliseconds(Int(request.delayMs)))
  }

  private func end(_ request: EchoRequest) throws {
    guard request.status != 0 else { return }
    let nearest = RPCStatus.Code(rawValue: Int(request.status))?.nearest ?? .internal
    let code = DFSError.Code(rawValue: request.reason) ?? nearest
    throw DFSError(code, request.message, metadata: request.facts)
  }

  private static func answer(_ request: EchoRequest, _ context: CallContext, _ number: Int64) -> EchoResponse
  {
    .with { answer in
      answer.payload = request.payload
      answer.messages = number
      answer.peer = context.peer
      answer.metadata = context.metadata.entries.map { entry in
        switch entry.value {
        case .text(let text): "\(entry.name)=\(text)"
        case .binary(let bytes):
          "\(entry.name)="
            + bytes.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
        }
      }
      if let deadline = context.deadline {
        answer.deadlineMs = Int64((deadline - ContinuousClock.now) / .milliseconds(1))
      }
    }
  }
}
