import DFSCore
import Yams

/// The YAML file as dotted names and texts, with the line of each, and everything in it that is no setting.
///
/// Read with Yams rather than with swift-configuration's own YAML provider because that one cannot list its
/// keys, and a misspelt key that is silently ignored is the commonest mistake in a configuration file.
struct YAMLDocument {
  struct Entry: Equatable {
    var text: String
    var line: Int?
  }

  private(set) var values: [String: Entry] = [:]
  private(set) var problems: [SettingProblem] = []
  private let name: String

  init() { name = "" }

  init(text: String, name: String) {
    self.name = name
    do {
      guard let root = try Yams.compose(yaml: text) else { return }
      guard let mapping = root.mapping else {
        if root.scalar?.string.isEmpty != true {
          report("", "the file must be a mapping of sections", root.mark)
        }
        return
      }
      read(mapping, under: nil)
    } catch let error as YamlError {
      problems.append(SettingProblem(key: "", reason: "the file is not YAML: \(error)", origin: name))
    } catch {
      problems.append(SettingProblem(key: "", reason: "the file can not be read: \(error)", origin: name))
    }
  }

  private mutating func read(_ mapping: Node.Mapping, under section: String?) {
    for (keyNode, value) in mapping {
      guard let word = keyNode.scalar?.string else {
        report(section ?? "", "a key must be a word", keyNode.mark)
        continue
      }
      let key = section.map { "\($0).\(word)" } ?? word
      if SettingTable.key(named: key) != nil {
        take(key, value, keyNode.mark)
      } else if section == nil, SettingTable.sections.contains(where: { $0.name == word }) {
        if let inner = value.mapping {
          read(inner, under: word)
        } else if value.scalar?.string.isEmpty != true {
          // A section whose keys are all commented out is an empty scalar, and fine.
          report(key, "is a section: indent its settings below it", keyNode.mark)
        }
      } else {
        report(key, "there is no such setting\(suggestion(for: key))", keyNode.mark)
      }
    }
  }

  private mutating func take(_ key: String, _ value: Node, _ mark: Mark?) {
    switch value {
    case .scalar(let scalar):
      let empty = scalar.tag.description == "tag:yaml.org,2002:null" || scalar.string == "~"
      values[key] = Entry(text: empty ? "" : scalar.string, line: mark?.line)
    case .sequence(let sequence):
      let parts = sequence.compactMap { $0.scalar?.string }
      guard parts.count == sequence.count else { return report(key, "takes a list of plain values", mark) }
      values[key] = Entry(text: parts.joined(separator: ","), line: mark?.line)
    default: report(key, "takes a value, not a section", mark)
    }
  }

  private func suggestion(for key: String) -> String {
    let names = SettingTable.keys.map(\.name) + SettingTable.sections.map(\.name)
    return nearest(to: key, among: names).map { "; did you mean \($0)?" } ?? ""
  }

  private mutating func report(_ key: String, _ reason: String, _ mark: Mark?) {
    let origin = mark.map { "\(name):\($0.line)" } ?? name
    problems.append(SettingProblem(key: key, reason: reason, origin: origin))
  }
}

/// The candidate that a person most likely meant: spelt almost like `word`, or the same key in another section.
/// Names have words joined by `.` or `_`. A word that is right says nothing about one that is wrong, so at most
/// a third of the letters from the first difference to the last may differ: `coordinator.port` is not almost
/// `coordinator.data`.
func nearest(to word: String, among candidates: some Sequence<String>) -> String? {
  let last = word.split(separator: ".").last ?? ""
  let scored = candidates.sorted().compactMap { candidate -> (name: String, distance: Int)? in
    if candidate.contains("."), candidate.split(separator: ".").last == last {
      // Of several sections with such a key the one that is spelt most like it.
      return (candidate, editDistance(Array(word.utf8), Array(candidate.utf8)))
    }
    guard word.contains(".") == candidate.contains(".") else { return nil }
    let (left, right) = differingWords(word, candidate)
    let distance = editDistance(Array(left.utf8), Array(right.utf8))
    let limit = max(1, min(left.utf8.count, right.utf8.count) / 3)
    return distance <= limit ? (candidate, distance) : nil
  }
  return scored.min { $0.distance < $1.distance }?.name
}

/// What is left of two names without the whole words that they begin with in common.
private func differingWords(_ left: String, _ right: String) -> (Substring, Substring) {
  var (one, other) = (left[...], right[...])
  while let end = one.firstIndex(where: { $0 == "." || $0 == "_" }), other.hasPrefix(one[...end]) {
    let length = one[...end].count
    one = one.dropFirst(length)
    other = other.dropFirst(length)
  }
  return (one, other)
}

/// Levenshtein's distance, in the time of the product of the lengths, which are names of settings.
func editDistance(_ left: [UInt8], _ right: [UInt8]) -> Int {
  var previous = Array(0...right.count)
  for (row, letter) in left.enumerated() {
    var current = [row + 1]
    for (column, other) in right.enumerated() {
      let replace = previous[column] + (letter == other ? 0 : 1)
      current.append(min(replace, previous[column + 1] + 1, current[column] + 1))
    }
    previous = current
  }
  return previous[right.count]
}
