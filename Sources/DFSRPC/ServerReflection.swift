import DFSCore
import SwiftProtobuf

/// Server reflection, with which `grpcurl` and the like call a server whose `.proto` files they do not have.
extension RPCRouter {
  /// Serves reflection, `v1` and `v1alpha`, over the services that this router has now, so call it last.
  ///
  /// Each set is a serialised `google.protobuf.FileDescriptorSet`; those of health and reflection itself are
  /// added. Throws `.invalidArgument` for bytes that are none.
  package mutating func addReflection(of descriptorSets: [[UInt8]]) throws {
    let index = try DescriptorIndex(descriptorSets + [PackageResources.grpc_binpb])
    var services = Set(paths.compactMap { $0.split(separator: "/").first.map(String.init) })
    services.formUnion(Self.reflectionPackages.map { $0 + ".ServerReflection" })
    let reflection = ServerReflection(index: index, services: services.sorted())
    for name in Self.reflectionPackages {
      handle(ServerReflection.method(name)) { reader, writer, _ in
        while let request = try await reader.next() { try await writer.write(reflection.answer(request)) }
      }
    }
  }

  private static let reflectionPackages = ["grpc.reflection.v1", "grpc.reflection.v1alpha"]
}

/// Answers one question after another; knows nothing but what it was made with.
struct ServerReflection: Sendable {
  let index: DescriptorIndex
  /// Full names, sorted.
  let services: [String]

  typealias Request = Grpc_Reflection_V1_ServerReflectionRequest
  typealias Response = Grpc_Reflection_V1_ServerReflectionResponse

  /// The messages of both versions are the same bytes, so those of v1 serve both.
  static func method(_ packageName: String) -> BidirectionalMethod<Request, Response> {
    BidirectionalMethod(
      path: "/\(packageName).ServerReflection/ServerReflectionInfo", retry: .whenSafe, request: .small,
      response: .small)
  }

  func answer(_ request: Request) -> Response {
    var response = Response()
    response.validHost = request.host
    response.originalRequest = request
    switch request.messageRequest {
    case .listServices:
      response.listServicesResponse.service = services.map { name in .with { $0.name = name } }
    case .fileByFilename(let name):
      setFiles(index.files(named: name), missing: "file \"\(name)\"", of: &response)
    case .fileContainingSymbol(let symbol):
      setFiles(index.files(declaring: symbol), missing: "symbol \"\(symbol)\"", of: &response)
    case .fileContainingExtension(let wanted):
      setFiles(
        index.files(extending: wanted.containingType, number: wanted.extensionNumber),
        missing: "extension \(wanted.extensionNumber) of \"\(wanted.containingType)\"", of: &response)
    case .allExtensionNumbersOfType(let type):
      guard let numbers = index.extensionNumbers(of: type) else {
        setError(.notFound, "no message \"\(type)\" here", of: &response)
        break
      }
      response.allExtensionNumbersResponse.baseTypeName = type
      response.allExtensionNumbersResponse.extensionNumber = numbers
    case nil:
      setError(.invalidArgument, "the request asks nothing that this server knows", of: &response)
    }
    return response
  }

  private func setFiles(_ files: [[UInt8]]?, missing what: String, of response: inout Response) {
    guard let files else { return setError(.notFound, "no \(what) here", of: &response) }
    response.fileDescriptorResponse.fileDescriptorProto = files.map { .init($0) }
  }

  private func setError(_ code: RPCStatus.Code, _ message: String, of response: inout Response) {
    response.errorResponse.errorCode = Int32(code.rawValue)
    response.errorResponse.errorMessage = message
  }
}
