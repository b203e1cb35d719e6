import DFSCore
import SwiftProtobuf
import TestSupport
import Testing

@testable import DFSRPC

@Suite struct ReflectionTests {
  typealias Request = ServerReflection.Request

  let reflection: ServerReflection

  init() throws {
    var file = Google_Protobuf_FileDescriptorProto()
    file.name = "test.proto"
    file.package = "test"
    file.dependency = ["base.proto", "absent.proto"]
    file.messageType = [
      .with {
        $0.name = "Outer"
        $0.nestedType = [.with { $0.name = "Inner" }]
        $0.enumType = [
          .with {
            $0.name = "Kind"; $0.value = [.with { $0.name = "NONE" }]
          }
        ]
        $0.field = [
          .with {
            $0.name = "first"; $0.number = 1
          }
        ]
      }
    ]
    file.extension = [
      .with {
        $0.name = "extra"; $0.number = 100; $0.extendee = ".test.Outer"
      }
    ]
    file.service = [
      .with {
        $0.name = "Service"; $0.method = [.with { $0.name = "Do" }]
      }
    ]
    var base = Google_Protobuf_FileDescriptorProto()
    base.name = "base.proto"
    base.dependency = ["test.proto"]
    let set = Google_Protobuf_FileDescriptorSet.with { $0.file = [file, base] }
    reflection = ServerReflection(
      index: try DescriptorIndex([try set.serializedBytes(), PackageResources.grpc_binpb]),
      services: ["a.A", "b.B"])
  }

  private func files(_ request: Request) throws -> [String] {
    let answer = reflection.answer(request)
    #expect(answer.originalRequest == request)
    return try answer.fileDescriptorResponse.fileDescriptorProto.map {
      try Google_Protobuf_FileDescriptorProto(serializedBytes: $0).name
    }
  }

  @Test(arguments: [
    "test.Outer", "test.Outer.Inner", "test.Outer.Kind", "test.Outer.NONE", "test.Outer.first", "test.extra",
    "test.Service", "test.Service.Do",
  ])
  func `every symbol finds its file and what that imports`(symbol: String) throws {
    #expect(try files(.with { $0.fileContainingSymbol = symbol }) == ["test.proto", "base.proto"])
  }

  @Test func `files, extensions and services are found by name`() throws {
    #expect(try files(.with { $0.fileByFilename = "base.proto" }) == ["base.proto", "test.proto"])
    let extended = Request.with {
      $0.fileContainingExtension = .with {
        $0.containingType = "test.Outer"; $0.extensionNumber = 100
      }
    }
    #expect(try files(extended).first == "test.proto")
    let numbers = reflection.answer(.with { $0.allExtensionNumbersOfType = "test.Outer" })
    #expect(numbers.allExtensionNumbersResponse.extensionNumber == [100])
    let services = reflection.answer(.with { $0.listServices = "*" })
    #expect(services.listServicesResponse.service.map(\.name) == ["a.A", "b.B"])
  }

  @Test func `what is not here is an error inside the answer, not the end of the stream`() {
    for request in [
      Request.with { $0.fileByFilename = "x" }, .with { $0.fileContainingSymbol = "" },
      .with {
        $0.fileContainingExtension = .with {
          $0.containingType = "test.Outer"; $0.extensionNumber = 1
        }
      },
      .with { $0.allExtensionNumbersOfType = "x" },
    ] {
      #expect(reflection.answer(request).errorResponse.errorCode == 5)
    }
    #expect(reflection.answer(Request()).errorResponse.errorCode == 3)
  }

  @Test func `our own set describes health and both versions of reflection`() throws {
    for service in [
      "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
      "grpc.reflection.v1alpha.ServerReflection",
    ] {
      #expect(try files(.with { $0.fileContainingSymbol = service }).count == 1)
    }
  }

  @Test func `malformed sets are refused and random ones never crash`() throws {
    var random = SeededGenerator()
    print("seed \(random.seed)")
    #expect(throws: DFSError.self) { try DescriptorIndex([[0xFF, 0xFF]]) }
    let good = PackageResources.grpc_binpb
    for _ in 0..<300 {
      var bytes = good
      for _ in 0..<4 {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] ^= UInt8.random(in: 1...255, using: &random)
      }
      _ = try? DescriptorIndex([bytes])
    }
  }

  @Test func `the router lists what it serves`() throws {
    var router = RPCRouter()
    HealthService().register(in: &router)
    try router.addReflection(of: [])
    #expect(
      router.paths == [
        "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
      ])
  }
}
