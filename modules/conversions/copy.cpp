#include "modules/conversions/conversion.h"

namespace gamut {

UpcycleMethod::Change build_copy(Config&) {
  return [](FfnValues&, const RandomStream&) {};
}

}  // namespace gamut
