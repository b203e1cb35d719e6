import Configuration
import DFSCore

/// Where settings come from, strongest first: flags, environment, file; the table's defaults last.
package struct SettingSources: Sendable {
  /// Values of command-line options under the names of their keys: `["coordinator.listen": "[::]:7400"]`.
  package var flags: [String: String]
  package var environment: [String: String]
  /// The text of the YAML file, with the name that messages use for it.
  package var file: (name: String, text: String)?

  package init(
    flags: [String: String] = [:], environment: [String: String] = [:],
    file: (name: String, text: String)? = nil
  ) {
    self.flags = flags
    self.environment = environment
    self.file = file
  }
}

/// One setting as it was found: its text, and where, for the message.
struct FoundSetting: Equatable {
  var text: String
  var origin: String
}

/// The sources as providers of swift-configuration, asked one after another so that a message can name the
/// one that answered. Values are read as strings: the library's typed getters drop what they cannot convert.
struct SettingLayers {
  private var flags: InMemoryProvider
  private var environment: KeyMappingProvider<EnvironmentVariablesProvider>
  private var file: InMemoryProvider
  private var document: YAMLDocument
  private var fileName: String
  private var variables: [String: String]
  private(set) var warnings: [SettingProblem] = []
  var problems: [SettingProblem] { document.problems }

  init(_ sources: SettingSources) {
    // An empty variable counts as unset: that is how compose files and unit files pass "nothing".
    variables = sources.environment.filter { !$0.value.isEmpty }
    fileName = sources.file?.name ?? ""
    document = sources.file.map { YAMLDocument(text: $0.text, name: $0.name) } ?? YAMLDocument()
    flags = Self.provider("flags", sources.flags)
    file = Self.provider("file", document.values.mapValues(\.text))
    environment = EnvironmentVariablesProvider(environmentVariables: variables).prefixKeys(with: "dfs")
    // Kubernetes sets COORDINATOR_PORT=tcp://… for a service of that name; it is not meant for us.
    for name in ["COORDINATOR_PORT", "DATANODE_PORT"] where variables[name]?.hasPrefix("tcp://") == true {
      variables[name] = nil
      warnings.append(
        SettingProblem(key: name, reason: "looks like a link set by Kubernetes and is ignored", origin: nil))
    }
    warnings += misspeltVariables()
  }

  /// The strongest source's text for `key`; `nil` leaves the default.
  func find(_ key: SettingKey) throws -> FoundSetting? {
    let path = AbsoluteConfigKey(key.components)
    if let text = try Self.text(flags.value(forKey: path, type: .string)) {
      return FoundSetting(text: text, origin: "command line")
    }
    if let text = try Self.text(environment.value(forKey: path, type: .string)) {
      return FoundSetting(text: text, origin: key.environmentName)
    }
    let inFile = try Self.text(file.value(forKey: path, type: .string)).map { text in
      let line = document.values[key.name]?.line
      return FoundSetting(text: text, origin: line.map { "\(fileName):\($0)" } ?? fileName)
    }
    return alias(of: key, over: inFile?.text ?? key.standard) ?? inFile
  }

  /// The variables that predate the `DFS_` names. A host or a port alone replaces its half of `weaker`.
  private func alias(of key: SettingKey, over weaker: String) -> FoundSetting? {
    if key.name == "log.level" {
      return variables["LOG_LEVEL"].map { FoundSetting(text: $0, origin: "LOG_LEVEL") }
    }
    let prefixes = [
      "coordinators": "COORDINATOR", "coordinator.listen": "COORDINATOR", "datanode.listen": "DATANODE",
    ]
    guard let prefix = prefixes[key.name] else { return nil }
    let (hostName, portName) = ("\(prefix)_HOST", "\(prefix)_PORT")
    let (host, port) = (variables[hostName], variables[portName])
    guard host != nil || port != nil else { return nil }
    let first = weaker.split(separator: ",").first.map { trim($0) } ?? ""
    // A bad weaker value is not reported: it was overridden.
    let base = (try? Endpoint(first, defaultPort: 7400)) ?? Endpoint(host: "127.0.0.1", port: 7400)
    let name = host ?? base.host
    let bracketed = name.contains(":") && !name.hasPrefix("[") ? "[\(name)]" : name
    return FoundSetting(
      text: "\(bracketed):\(port ?? String(base.port))",
      origin: [host.map { _ in hostName }, port.map { _ in portName }].compactMap { $0 }.joined(
        separator: " and "))
  }

  /// `DFS_…` that names no key, when it begins like one or looks like one. Only warned about: orchestrators make
  /// up variables of their own.
  private func misspeltVariables() -> [SettingProblem] {
    let known = Set(SettingTable.keys.map(\.environmentName))
    let prefixes = SettingTable.sections.map { "DFS_\($0.name.uppercased())_" }
    return variables.keys.sorted().compactMap { name in
      guard name.hasPrefix("DFS_"), !known.contains(name), name != "DFS_CONFIG" else { return nil }
      let near = nearest(to: name, among: known)
      guard near != nil || prefixes.contains(where: { name.hasPrefix($0) }) else { return nil }
      let hint = near.map { "; did you mean \($0)?" } ?? ""
      return SettingProblem(key: name, reason: "names no setting and is ignored\(hint)", origin: nil)
    }
  }

  private static func provider(_ name: String, _ values: [String: String]) -> InMemoryProvider {
    InMemoryProvider(
      name: name,
      values: Dictionary(
        uniqueKeysWithValues: values.map { name, text in
          let components = name.split(separator: ".").map(String.init)
          return (AbsoluteConfigKey(components), ConfigValue(.string(text), isSecret: false))
        }))
  }

  private static func text(_ result: LookupResult) -> String? {
    guard case .string(let text)? = result.value?.content else { return nil }
    return text
  }
}
