import DFSCore

/// Takes values out of the layers key by key and collects what is wrong instead of stopping at the first.
///
/// A key whose text is bad gives its default, so that the checks across keys still run; the caller must not
/// use the result when there are problems.
struct SettingReader {
  private let layers: SettingLayers
  private(set) var problems: [SettingProblem]
  /// The names that were asked for: a test checks that this is the whole table.
  private(set) var asked: Set<String> = []

  init(_ layers: SettingLayers) {
    self.layers = layers
    problems = layers.problems
  }

  mutating func report(_ key: String, _ reason: String) {
    problems.append(SettingProblem(key: key, reason: reason, origin: origin(of: key)))
  }

  mutating func bytes(_ name: String) -> ByteCount {
    guard case .bytes(let value) = value(name) else { preconditionFailure("\(name) is no size") }
    return value
  }

  mutating func chunkSize(_ name: String) -> ChunkSize {
    guard case .chunkSize(let value) = value(name) else { preconditionFailure("\(name) is no chunk size") }
    return value
  }

  mutating func count(_ name: String) -> Int {
    guard case .count(let value) = value(name) else { preconditionFailure("\(name) is no number") }
    return value
  }

  mutating func duration(_ name: String) -> Duration {
    guard case .duration(let value) = value(name) else { preconditionFailure("\(name) is no time") }
    return value
  }

  mutating func flag(_ name: String) -> Bool {
    guard case .flag(let value) = value(name) else { preconditionFailure("\(name) is no flag") }
    return value
  }

  /// `nil` for an empty text.
  mutating func text(_ name: String) -> String? {
    guard case .text(let value) = value(name) else { preconditionFailure("\(name) is no text") }
    return value.isEmpty ? nil : value
  }

  mutating func endpoints(_ name: String) -> [Endpoint] {
    guard case .endpoints(let value) = value(name) else { preconditionFailure("\(name) is no address") }
    return value
  }

  private func origin(of name: String) -> String? {
    SettingTable.key(named: name).flatMap { try? layers.find($0) }?.origin
  }

  private mutating func value(_ name: String) -> SettingValue {
    guard let key = SettingTable.key(named: name) else { preconditionFailure("\(name) is not in the table") }
    asked.insert(name)
    var found: FoundSetting?
    do {
      found = try layers.find(key)
      if let found { return try key.value(of: found.text) }
    } catch let error as DFSError {
      problems.append(SettingProblem(key: name, reason: error.message, origin: found?.origin))
    } catch {
      problems.append(SettingProblem(key: name, reason: "\(error)", origin: found?.origin))
    }
    do { return try key.value(of: key.standard) } catch {
      preconditionFailure("the default of \(name) is not allowed: \(error)")
    }
  }
}
