import DFSCore
import SwiftProtobuf

/// Finds the `.proto` file that says something: by its name, by a symbol in it, by an extension in it. Made
/// once from descriptor sets; immutable.
struct DescriptorIndex: Sendable {
  private struct File: Sendable {
    let bytes: [UInt8]
    let dependencies: [String]
  }

  private struct Extension: Hashable {
    let type: String
    let number: Int32
  }

  private var files: [String: File] = [:]
  private var fileOfSymbol: [String: String] = [:]
  private var fileOfExtension: [Extension: String] = [:]

  /// Each set is a serialised `google.protobuf.FileDescriptorSet`. A file in several of them counts once.
  /// Throws `.invalidArgument` for bytes that are none.
  init(_ descriptorSets: [[UInt8]]) throws {
    for bytes in descriptorSets {
      do {
        for file in try Google_Protobuf_FileDescriptorSet(serializedBytes: bytes).file
        where files[file.name] == nil {
          files[file.name] = File(bytes: try file.serializedBytes(), dependencies: file.dependency)
          index(file)
        }
      } catch {
        throw DFSError(.invalidArgument, "the descriptor set for reflection is malformed", cause: error)
      }
    }
  }

  /// The serialised descriptor of the file named `name`, then those of all files it imports; nothing when it
  /// is not here.
  func files(named name: String) -> [[UInt8]]? {
    guard files[name] != nil else { return nil }
    var order = [name]
    var seen: Set<String> = [name]
    var result: [[UInt8]] = []
    var position = 0
    while position < order.count {
      defer { position += 1 }
      // An import that no set holds is left out: the caller may have it.
      guard let file = files[order[position]] else { continue }
      result.append(file.bytes)
      order += file.dependencies.filter { seen.insert($0).inserted }
    }
    return result
  }

  /// The same for the file that declares `symbol`, a full name without a dot before it.
  func files(declaring symbol: String) -> [[UInt8]]? { fileOfSymbol[symbol].flatMap { files(named: $0) } }

  func files(extending type: String, number: Int32) -> [[UInt8]]? {
    fileOfExtension[Extension(type: type, number: number)].flatMap { files(named: $0) }
  }

  /// The numbers of all extensions of `type`, in order; nothing when no such message is here.
  func extensionNumbers(of type: String) -> [Int32]? {
    guard fileOfSymbol[type] != nil else { return nil }
    return fileOfExtension.keys.filter { $0.type == type }.map(\.number).sorted()
  }

  private mutating func index(_ file: Google_Protobuf_FileDescriptorProto) {
    let scope = file.package.isEmpty ? "" : file.package + "."
    for message in file.messageType { index(message, scope, file.name) }
    for enumeration in file.enumType { index(enumeration, scope, file.name) }
    index(file.extension, scope, file.name)
    for service in file.service {
      fileOfSymbol[scope + service.name] = file.name
      for method in service.method { fileOfSymbol[scope + service.name + "." + method.name] = file.name }
    }
  }

  private mutating func index(_ message: Google_Protobuf_DescriptorProto, _ scope: String, _ file: String) {
    let name = scope + message.name
    fileOfSymbol[name] = file
    for field in message.field { fileOfSymbol[name + "." + field.name] = file }
    for oneof in message.oneofDecl { fileOfSymbol[name + "." + oneof.name] = file }
    for nested in message.nestedType { index(nested, name + ".", file) }
    for enumeration in message.enumType { index(enumeration, name + ".", file) }
    index(message.extension, name + ".", file)
  }

  private mutating func index(
    _ enumeration: Google_Protobuf_EnumDescriptorProto, _ scope: String, _ file: String
  ) {
    fileOfSymbol[scope + enumeration.name] = file
    // The values of an enumeration are its siblings, not its members, as in C++.
    for value in enumeration.value { fileOfSymbol[scope + value.name] = file }
  }

  private mutating func index(
    _ extensions: [Google_Protobuf_FieldDescriptorProto], _ scope: String, _ file: String
  ) {
    for field in extensions {
      fileOfSymbol[scope + field.name] = file
      let type = field.extendee.hasPrefix(".") ? String(field.extendee.dropFirst()) : field.extendee
      fileOfExtension[Extension(type: type, number: field.number)] = file
    }
  }
}
