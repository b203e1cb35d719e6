import DFSCore
import DFSKeyValue

extension NamespaceView {
  /// Reads every record and compares their digest with the one that the rounds kept. Throws `.corrupt` when
  /// they differ. Its cost is that of the whole store.
  package func checkDigest() throws {
    var source = self
    guard let state = try source.record(Keys.state, StateRecord.self) else {
      throw DFSError(.corrupt, "the metadata store has no state")
    }
    var sum = StateDigest.zero
    var hours: [UInt32: StateDigest] = [:]
    try reader.scan(KeyRange(from: [], to: nil)) { key, value in
      switch key[0] {
      case UInt8(ascii: "m"): break
      case let letter where Keys.isDerived(letter): break
      case UInt8(ascii: "o"):
        hours[try Keys.number(key, at: 2, as: UInt32.self), default: .zero] += StateDigest(
          key: key, value: value)
      default: sum += StateDigest(key: key, value: value)
      }
      return .goOn
    }
    let kept = Dictionary(uniqueKeysWithValues: state.hours.map { ($0.hour, $0.digest) }).filter {
      $1 != .zero
    }
    guard sum == state.digest, hours == kept else {
      throw DFSError(.corrupt, "the records of the metadata store do not add up to their digest: restore it")
    }
  }
}
